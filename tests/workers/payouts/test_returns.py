"""What came back after it was paid, and whose notice was lost, is found in what Wise lists as come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event

from domain.db import transaction
from domain.errors import Invalid
from domain.payouts.rules.breaker import Trip
from domain.payouts.rules.returns import ANSWERS_WITHIN, OVERLAP
from domain.payouts.service import breakers
from domain.payouts.store import returns as store
from queues.bucket import Turn
from tests.workers.gateways.local_stripe import LocalStripe
from tests.workers.gateways.local_wise import FUNDING, WiseAccount
from tests.workers.payouts.test_pacing import Fixed
from tests.workers.payouts.test_payouts import died_everywhere
from tests.workers.payouts.test_wise import clearing
from tests.workers.payouts.wise_office import WiseOffice
from workers import payouts, progress
from workers.gateways import wise_returns
from workers.returns import ReturnsReport, look_for_returns

LIST = {"method": "GET", "path": "/wise/v1/transfers"}
DELIVERED = ("funds_converted", "outgoing_payment_sent")


@pytest.fixture
def office(engine: Engine, local_stripe: LocalStripe) -> Iterator[WiseOffice]:
    account = WiseAccount(local_stripe)
    account.fund(10_000_000)
    yield WiseOffice(engine, wise=account)
    account.close()


def paid(office: WiseOffice, *amounts: int) -> list[int]:
    """Payouts that Wise has delivered long ago: nobody looks at them any more by themselves."""
    office.owe(*amounts)
    made = office.build(f"run of {amounts}")
    office.work_off()
    for payout_id in made:
        office.wise.move(office.transfer_of(payout_id), *DELIVERED)
    office.look()
    assert {office.states()[payout_id] for payout_id in made} == {"paid"}
    office.execute("UPDATE payouts SET look_at = NULL WHERE state = 'paid'")
    office.messages()
    return made


def look(office: WiseOffice, **more: Any) -> ReturnsReport:
    report = look_for_returns(office, office.merchant_id, **more)
    assert report is not None
    return report


def rows(office: WiseOffice, statement: str) -> list[tuple[Any, ...]]:
    with transaction(office.engine) as tx:
        return [tuple(row) for row in tx.exec_driver_sql(statement)]


def everything(office: WiseOffice) -> list[list[tuple[Any, ...]]]:
    return [
        rows(office, f"SELECT * FROM {table} ORDER BY id")
        for table in ("payouts", "payout_attempts", "payout_reversals", "ledger_transfers")
    ] + [rows(office, "SELECT count(*) FROM outbox")]


def test_what_bounced_unheard_is_found_and_booked_once(office: WiseOffice) -> None:
    bounced, kept = paid(office, 1_000, 2_000)
    transfer = office.transfer_of(bounced)
    office.wise.move(transfer, "bounced_back")
    payouts.sweep(office)
    assert office.messages() == [], "nothing else asks about it"
    report = look(office)
    assert (report.listed, report.asked, report.unfinished, report.waits) == (1, 1, False, None)
    office.work_off()
    assert office.states() == {bounced: "returned", kept: "paid"}
    assert clearing(office) == {"gateway_clearing": 3_000}
    office.execute("UPDATE payouts SET look_at = NULL")
    office.wise.move(transfer, "funds_refunded")
    assert look(office).asked == 1
    office.work_off()
    assert office.states() == {bounced: "reversed", kept: "paid"}
    assert clearing(office) == {"payouts_reversed": 1_000, "gateway_clearing": 2_000}
    office.assert_paid_once()
    before = everything(office)
    for _ in range(2):
        report = look(office)
        office.work_off()
        assert (report.listed, report.asked) == (1, 0)
    assert everything(office) == before
    assert rows(office, "SELECT found, passed, made_from, error FROM return_looks") == [
        (2, 0, None, None)
    ]


def test_what_came_back_before_it_was_known_to_be_sent_is_found_too(office: WiseOffice) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.work_off()
    office.wise.move(office.transfer_of(payout_id), *DELIVERED, "bounced_back", "funds_refunded")
    assert office.states() == {payout_id: "in_transit"}
    assert look(office).asked == 1
    office.work_off()
    assert office.states() == {payout_id: "reversed"}
    office.assert_paid_once()


def test_asked_about_once_while_no_answer_came_and_again_after_it(office: WiseOffice) -> None:
    [payout_id] = paid(office, 1_000)
    office.wise.move(office.transfer_of(payout_id), "bounced_back")
    assert [look(office).asked for _ in range(3)] == [1, 0, 0]
    assert office.messages() == [("payouts.progress", {"payout_id": payout_id})]
    office.execute("UPDATE payouts SET look_at = now()")
    assert payouts.sweep(office) == 1, "the message was lost: the sweep asks again"
    office.messages()
    office.execute("UPDATE payouts SET emitted_at = now() - interval '6 minutes'")
    assert look(office).asked == 1


def test_a_look_that_dies_at_any_statement_is_gone_on_with(office: WiseOffice) -> None:
    def bounced(payout_id: int) -> Callable[[], object]:
        payouts.send(office, payout_id)
        office.wise.move(office.transfer_of(payout_id), *DELIVERED)
        progress.look(office, payout_id)
        office.execute("UPDATE payouts SET look_at = NULL")
        office.wise.move(office.transfer_of(payout_id), "bounced_back")
        return lambda: look(office)

    died = died_everywhere(office, bounced)
    assert died > 6
    look(office)
    office.work_off()
    office.execute("UPDATE payouts SET emitted_at = NULL")
    look(office)
    office.work_off()
    assert Counter(office.states().values()) == {"returned": died + 1}
    office.assert_paid_once()


def test_a_look_over_many_pages_is_bounded_and_the_next_one_goes_on(
    office: WiseOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wise_returns, "PAGE", OVERLAP + 2)
    made = paid(office, *range(1_000, 1_017))
    for payout_id in made:
        office.wise.move(office.transfer_of(payout_id), "bounced_back")
    first = look(office, pages=1)
    assert (first.pages, first.listed, first.asked, first.unfinished) == (1, 12, 12, True)
    assert rows(office, "SELECT passed, made_from IS NULL FROM return_looks") == [(2, False)]
    office.wise.plan({**LIST, "fault": "error_500_not_done", "times": 1})
    failed = look(office)
    assert (failed.pages, failed.unfinished) == (0, True)
    assert failed.waits
    assert rows(office, "SELECT passed, error IS NULL FROM return_looks") == [(2, False)]
    rest = look(office)
    assert (rest.asked, rest.unfinished, rest.waits) == (5, False, None)
    office.work_off()
    assert set(office.states().values()) == {"returned"}
    office.assert_paid_once()


def test_a_look_that_nobody_took_further_for_days_begins_anew(
    office: WiseOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wise_returns, "PAGE", 2)
    for payout_id in paid(office, 1_000, 2_000, 3_000):
        office.wise.move(office.transfer_of(payout_id), "bounced_back")
    assert look(office, pages=1).unfinished
    office.execute("UPDATE return_looks SET looked_at = now() - interval '3 days', passed = 1000")
    assert look(office).asked == 1
    assert rows(office, "SELECT made_from FROM return_looks") == [(None,)]


def test_of_eight_looks_at_a_time_one_asks(office: WiseOffice) -> None:
    [payout_id] = paid(office, 1_000)
    office.wise.move(office.transfer_of(payout_id), "bounced_back")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(look, office) for _ in range(8)]
        assert sum(one.result(20).asked for one in asked) == 1
    office.work_off()
    assert office.states() == {payout_id: "returned"}


def test_what_was_never_paid_for_and_what_others_made_is_passed_by(office: WiseOffice) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.wise.plan({**FUNDING, "fault": "balance_dry", "times": 1})
    office.work_off()
    office.wise.fund(10_000)
    office.look_for_money()
    payouts.sweep(office)
    office.work_off()
    assert office.states() == {payout_id: "in_transit"}
    assert Counter(one.status for one in office.wise.transfers()) == {
        "cancelled": 1, "processing": 1,
    }  # fmt: skip
    by_hand = office.wise.call(
        "POST",
        f"/v3/profiles/{office.wise.profile}/quotes",
        {"sourceCurrency": "EUR", "targetCurrency": "EUR", "targetAmount": 5},
    )
    made = office.wise.call(
        "POST",
        "/v1/transfers",
        {
            "targetAccount": int(office.wise.recipient()),
            "quoteUuid": by_hand["id"],
            "customerTransactionId": "7d3c0a52-2e6c-4a1d-9d7c-61b3cb1e21a4",
        },
    )
    office.wise.call("PUT", f"/v1/transfers/{made['id']}/cancel")
    report = look(office)
    assert (report.listed, report.asked) == (2, 0)


def test_nothing_is_asked_while_the_account_is_busy_or_its_breaker_is_open(
    office: WiseOffice,
) -> None:
    [payout_id] = paid(office, 1_000)
    office.wise.move(office.transfer_of(payout_id), "bounced_back")
    office.wise.plan({**LIST, "fault": "slow", "ms": 1})
    office.pace = Fixed(Turn(7.0, reserved=False))
    busy = look(office)
    assert (busy.pages, busy.unfinished) == (0, True)
    assert "7 s" in str(busy.waits)
    office.pace = Fixed(Turn(0.0))
    with transaction(office.engine) as tx:
        breakers.open_breaker(tx, office.merchant_id, "wise", Trip("silent", key_refused=False))
    assert "breaker" in str(look(office).waits)
    told = office.wise.sandbox.admin("GET", "faults")["rules"][0]
    assert told["seen"] == 0, "no call was made"
    with transaction(office.engine) as tx:
        breakers.close_breaker(tx, office.merchant_id, "wise", actor=breakers.PROBE)
    assert look(office).asked == 1
    assert office.pace.asked == [f"wise.{office.wise.account}"], "one turn for a page"


def test_a_payout_whose_account_is_busy_is_asked_about_when_its_turn_comes(
    office: WiseOffice,
) -> None:
    [payout_id] = paid(office, 1_000)
    office.wise.move(office.transfer_of(payout_id), "bounced_back")
    look(office)
    office.messages()
    office.pace = Fixed(Turn(30.0, reserved=False))
    progress.look(office, payout_id)
    [(asks, wait)] = rows(
        office, "SELECT actor, extract(epoch FROM run_at - now())::float8 FROM outbox"
    )
    assert (asks, 28 < wait <= 30) == ("payouts.progress", True)
    [(later,)] = rows(office, "SELECT look_at > now() + interval '1 minute' FROM payouts")
    assert later, "the sweep does not take the message for lost before"


def test_a_transfer_that_is_older_than_asked_for_is_not_looked_at(office: WiseOffice) -> None:
    [payout_id] = paid(office, 1_000)
    office.wise.move(office.transfer_of(payout_id), "bounced_back")
    for days in (0, 366):
        with pytest.raises(Invalid, match="1 to 365"):
            look(office, days=days)
    seen = office.wise.plan({**LIST, "fault": "slow", "ms": 1})
    assert seen is None
    look(office, days=10, pages=1)
    [(began,)] = rows(office, "SELECT complete_at > now() - interval '1 minute' FROM return_looks")
    assert began


def test_a_page_is_held_against_attempts_by_their_names_alone_however_many_there_are(
    office: WiseOffice,
) -> None:
    paid(office, 1_000)
    with transaction(office.engine) as tx:

        def explain(conn: Any, cursor: Any, sql: str, args: Any, *_: Any) -> tuple[str, Any]:
            return f"EXPLAIN {sql}", args

        tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
        tx.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        event.listen(tx, "before_cursor_execute", explain, retval=True)
        planned = store.named(tx, office.merchant_id, office.wise.account, ["a"], ANSWERS_WITHIN)
        event.remove(tx, "before_cursor_execute", explain)
    plan = "\n".join(str(row[0]) for row in planned)
    assert "ix_payout_attempts_named" in plan, plan
    assert "Index Scan using pk_payouts" in plan, plan
