"""What no webhook brought is found in the gateway's events, once, wherever the poll was killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from domain.db import transaction
from domain.errors import Invalid
from domain.payouts.errors import WrongMode
from domain.payouts.gateway import EventsPage, Gateway, SeenEvent
from domain.payouts.rules.polling import KEPT
from domain.payouts.service import polling as service
from tests.domain.payouts import house
from tests.workers.notices.desk import PATIENCE, Desk
from workers import polling
from workers.polling import PollReport


def poll(desk: Desk, **more: Any) -> PollReport:
    report = polling.poll(desk, desk.merchant_id, **more)
    assert report is not None
    return report


def paid(desk: Desk) -> str:
    """A payout that was paid; returns its transfer. No webhook endpoint is registered."""
    desk.platform.fund(5_000)
    desk.owe(1_000)
    desk.build()
    desk.work_off()
    [(transfer,)] = desk.rows("SELECT external_transaction_id FROM payouts")
    return str(transfer)


def reverse(desk: Desk, transfer: str, amount: int) -> None:
    desk.platform.call("POST", f"/v1/transfers/{transfer}/reversals", amount=str(amount))


def test_a_reversal_that_no_webhook_told_is_found_and_booked_once(desk: Desk) -> None:
    transfer = paid(desk)
    reverse(desk, transfer, 300)
    assert poll(desk).stored > 0
    desk.work_off()
    assert desk.notices("transfer.reversed") == [("applied", None)]
    assert desk.rows("SELECT DISTINCT brought_by FROM gateway_events") == [("poll",)]
    assert desk.rows("SELECT reversed_amount FROM payouts") == [(300,)]
    reverse(desk, transfer, 200)
    assert (poll(desk).stored, poll(desk).stored) == (1, 0)
    desk.work_off()
    assert desk.rows("SELECT reversed_amount FROM payouts") == [(500,)]
    house.assert_whole(desk.engine)


def test_an_event_whose_webhook_had_the_other_mode_is_found_and_applied(desk: Desk) -> None:
    transfer = paid(desk)
    desk.listen(connect=False)
    desk.spoil(fault="wrong_mode", type="transfer.reversed")
    reverse(desk, transfer, 300)
    desk.told("transfer.reversed")
    assert [state for state, _ in desk.notices("transfer.reversed")] == ["ignored"]
    assert (poll(desk).stored > 0, poll(desk).stored) == (True, 0)
    desk.work_off()
    assert desk.rows("SELECT reversed_amount FROM payouts") == [(300,)]
    assert desk.rows(
        "SELECT live, state, brought_by FROM gateway_events WHERE type = 'transfer.reversed' ORDER BY 1"
    ) == [(False, "applied", "poll"), (True, "ignored", "webhook")]
    house.assert_whole(desk.engine)


@pytest.mark.parametrize("first", ["webhook", "poll"])
def test_an_event_that_comes_by_both_roads_is_kept_once(desk: Desk, first: str) -> None:
    transfer = paid(desk)
    desk.listen(connect=False)
    if first == "poll":
        desk.spoil(fault="delay", type="transfer.reversed", ms=1_500)
    reverse(desk, transfer, 300)
    if first == "webhook":
        desk.told("transfer.reversed")
    poll(desk)
    desk.work_off()
    wait_for_deliveries(desk)
    desk.work_off()
    assert desk.notices("transfer.reversed") == [("applied", None)]
    assert desk.rows("SELECT brought_by FROM gateway_events WHERE type = 'transfer.reversed'") == [
        (first,)
    ]
    assert desk.rows("SELECT amount FROM payout_reversals") == [(300,)]


def wait_for_deliveries(desk: Desk) -> None:
    """Wait until the reversal's webhook was taken, however late."""
    [told] = desk.platform.call("GET", "/v1/events?type=transfer.reversed")["data"]
    end = time.monotonic() + PATIENCE
    while True:
        sent = desk.platform.stripe.admin("GET", f"events/{told['id']}/deliveries")["deliveries"]
        if [one["state"] for one in sent] == ["succeeded"]:
            return
        assert time.monotonic() < end, sent
        time.sleep(0.05)


def test_what_a_connected_account_told_is_found_under_its_name(desk: Desk) -> None:
    desk.owe(1_000)
    desk.platform.set_state(desk.account(), "restricted")
    poll(desk)
    assert desk.rows(
        "SELECT DISTINCT account FROM gateway_events WHERE type = 'account.updated'"
    ) == [(desk.account(),)]
    desk.work_off()
    assert desk.payee()[1] == "gateway"


def test_an_account_that_left_us_is_blocked_though_its_events_are_not_shown_any_more(
    desk: Desk,
) -> None:
    desk.owe(1_000)
    desk.platform.set_state(desk.account(), "deauthorized")
    report = poll(desk)
    assert (report.silent, list(report.refused)) == ({}, [desk.account()])
    assert desk.payee()[1] == "gateway"


def test_connected_accounts_take_turns(desk: Desk) -> None:
    desk.owe(100, 200, 300)
    for _ in range(3):
        assert poll(desk, accounts=1).accounts == 2
    asked = desk.rows(
        "SELECT count(*) FROM event_polls WHERE account <> '' AND complete_at > '-infinity'"
    )
    assert asked == [(3,)]


def many(desk: Desk) -> int:
    """More than a page of events of one account; returns how many there are."""
    desk.owe(1_000)
    for _ in range(30):
        for state in ("restricted", "active"):
            desk.platform.set_state(desk.account(), state)
    seen = since = 0
    after: str | None = None
    while True:
        page = desk.platform.gateway().events.page(
            types=("account.updated", "capability.updated"),
            account=desk.account(),
            since=house.JUNE,
            after=after,
        )
        seen += len(page.events)
        since += 1
        if not page.more:
            assert since > 1, "more than one page"
            return seen
        after = page.events[-1].event_id


def test_a_round_reads_so_many_pages_and_the_next_one_goes_on_from_there(desk: Desk) -> None:
    events = many(desk)
    first = poll(desk, pages=1)
    assert (first.unfinished, first.stored) == (1, 100)
    desk.platform.set_state(desk.account(), "restricted")
    second = poll(desk)
    assert (second.unfinished, second.stored) == (0, events - 100), (
        "newer ones wait for a new round"
    )
    assert poll(desk).stored > 0
    assert poll(desk).stored == 0


def test_two_polls_at_once_keep_each_event_once(desk: Desk) -> None:
    events = many(desk)
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(poll, desk, pages=5) for _ in range(2)]
        stored = sum(one.result(60).stored for one in done)
    stored += poll(desk).stored
    [(rows,)] = desk.rows("SELECT count(*) FROM gateway_events WHERE account <> ''")
    assert (rows, stored >= events) == (events, True)


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def dying_at(engine: Engine, number: int) -> Iterator[None]:
    """The process is killed at its ``number``th statement or commit."""
    seen = 0

    def die(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Killed

    event.listen(engine, "before_cursor_execute", die)
    event.listen(engine, "commit", die)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", die)
        event.remove(engine, "commit", die)


def test_a_poll_that_is_killed_anywhere_loses_and_doubles_nothing(desk: Desk) -> None:
    transfer = paid(desk)
    died = 0
    for n in range(1, 100):
        reverse(desk, transfer, 1)
        try:
            with dying_at(desk.engine, n):
                poll(desk)
        except Killed:
            died += 1
        poll(desk)
        desk.work_off()
        assert desk.rows("SELECT reversed_amount FROM payouts") == [(n,)]
        if died < n:
            break
    assert 8 < died < 99
    house.assert_whole(desk.engine)


def test_an_event_that_is_shown_late_is_found_by_the_overlap(desk: Desk, owner: Engine) -> None:
    transfer = paid(desk)
    reverse(desk, transfer, 300)
    reverse(desk, transfer, 200)
    poll(desk)
    with transaction(owner) as tx:
        # As if the older of two had not been shown yet.
        tx.exec_driver_sql(
            "DELETE FROM gateway_events WHERE id = (SELECT min(id) FROM gateway_events"
            " WHERE type = 'transfer.reversed')"
        )
    assert poll(desk).stored == 1


@pytest.mark.parametrize(("days", "back"), [(None, 3), (30, 30)])
def test_the_first_poll_looks_so_many_days_back_and_a_later_one_when_asked(
    desk: Desk, days: int | None, back: int
) -> None:
    desk.owe(1_000)
    with transaction(desk.engine) as tx:
        begun = service.take_up_poll(
            tx, desk.merchant_id, "stripe", "acct", None, first=timedelta(days=days or 3)
        )
    assert abs(begun.asked_at - timedelta(days=back) - begun.from_at) < timedelta(minutes=1)
    with pytest.raises(Invalid, match="1 to 30"):
        poll(desk, days=31)
    poll(desk)
    poll(desk, days=30)
    with transaction(desk.engine) as tx:
        again = service.take_up_poll(
            tx, desk.merchant_id, "stripe", "acct", None, first=timedelta(days=20), again=True
        )
    further = timedelta(days=max(back, 20))
    assert abs(again.asked_at - further - again.from_at) < timedelta(hours=2)
    assert again.lost_before is None


@pytest.mark.parametrize("finished", [True, False])
def test_a_shorter_look_back_passes_nothing_over_that_was_not_read(
    desk: Desk, finished: bool
) -> None:
    desk.owe(1_000)
    own = ("stripe", "acct", None)
    with transaction(desk.engine) as tx:
        service.take_up_poll(tx, desk.merchant_id, *own, first=timedelta(days=10))
    if finished:
        desk.execute(
            "UPDATE event_polls SET complete_at = began_at, from_at = NULL, began_at = NULL"
        )
    with transaction(desk.engine) as tx:
        again = service.take_up_poll(
            tx, desk.merchant_id, *own, first=timedelta(days=1), again=True
        )
    assert again.asked_at - again.from_at > timedelta(days=10)


def test_after_more_than_thirty_days_it_says_what_may_be_lost(desk: Desk) -> None:
    paid(desk)
    assert poll(desk).lost == {}
    desk.execute(
        "UPDATE event_polls SET complete_at = now() - interval '40 days',"
        " read_until = now() - interval '40 days' WHERE account = ''"
    )
    report = poll(desk)
    assert list(report.lost) == ["own"]
    assert poll(desk).lost == {}


def test_a_reading_that_was_interrupted_for_more_than_thirty_days_begins_anew_and_says_so(
    desk: Desk,
) -> None:
    paid(desk)
    for days, lost in ((30, False), (40, True)):
        poll(desk)
        desk.execute(
            f"UPDATE event_polls SET from_at = now() - interval '{days} days', began_at = now(),"
            f" complete_at = now() - interval '{days} days', page_after = NULL WHERE account = ''"
        )
        assert (list(poll(desk).lost) == ["own"]) == lost


def test_while_stripe_does_not_answer_nothing_moves_and_the_next_poll_finds_it(desk: Desk) -> None:
    transfer = paid(desk)
    reverse(desk, transfer, 300)
    desk.platform.stripe.admin(
        "PUT",
        "faults",
        seed=1,
        rules=[{"method": "GET", "path": "/v1/events", "fault": "error_500_not_done"}],
    )
    report = poll(desk)
    assert (report.stored, list(report.silent)) == (0, ["own"])
    assert report.accounts == 1, "the others are not asked about, each with a time-out of its own"
    desk.platform.stripe.admin("DELETE", "faults")
    assert poll(desk).stored > 0


def test_a_page_after_an_event_that_is_gone_begins_anew(desk: Desk) -> None:
    transfer = paid(desk)
    reverse(desk, transfer, 300)
    with transaction(desk.engine) as tx:
        service.take_up_poll(
            tx,
            desk.merchant_id,
            "stripe",
            desk.platform.account_id,
            None,
            first=timedelta(days=3),
        )
    desk.execute("UPDATE event_polls SET page_after = 'evt_gone'")
    own = "SELECT stored FROM event_polls WHERE account = ''"
    poll(desk)
    assert desk.rows(own) == [(0,)]
    poll(desk)
    assert desk.rows(own) > [(0,)]


def test_an_account_of_the_other_mode_is_refused_by_name_and_nothing_is_kept(desk: Desk) -> None:
    transfer = paid(desk)
    reverse(desk, transfer, 300)
    desk.execute("UPDATE merchants SET mode = 'live'")
    with pytest.raises(WrongMode, match="is not a live event, and the merchant is in live mode"):
        poll(desk)
    assert desk.rows("SELECT count(*) FROM gateway_events") == [(0,)]


def test_an_event_that_postgresql_cannot_keep_holds_up_no_other(desk: Desk) -> None:
    paid(desk)
    with transaction(desk.engine) as tx:
        reading = service.take_up_poll(
            tx, desk.merchant_id, "stripe", "acct", None, first=timedelta(days=3)
        )
        pages = tuple(
            SeenEvent(f"evt_{n}", "transfer.reversed", None, payload, False, reading.from_at)
            for n, payload in enumerate(("{}", '{"a": "\\u0000"}', "{}"))
        )
        kept = service.keep_page(tx, reading, EventsPage("told", pages))
    assert (kept.stored, kept.missed, kept.left) == (2, 2, None)


def test_a_gateway_that_keeps_no_events_is_skipped(desk: Desk) -> None:
    desk.owe(1_000)

    class Elsewhere(Desk):
        def gateways(self, _merchant_id: int, _method: str) -> Gateway:
            return house.PAPER

    elsewhere = Elsewhere(desk.engine, desk.platform, desk.merchant_id)
    assert polling.poll(elsewhere, desk.merchant_id) is None


def test_events_are_kept_as_long_as_the_rules_say(desk: Desk) -> None:
    transfer = paid(desk)
    reverse(desk, transfer, 300)
    seconds = int(KEPT.total_seconds())
    desk.platform.stripe.admin("POST", "clock", advance_seconds=seconds + 1)
    assert poll(desk).stored == 0, "the gateway does not show them any more"
