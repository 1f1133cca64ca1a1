"""Whatever the wire does, what a person asks to be taken back comes back once, by the sandbox's own books."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import NoSuchPayout, NotReversible
from domain.payouts.rules import Leave, can
from domain.payouts.rules.reversing import REVERSAL
from domain.payouts.service import breakers, stopping
from tests.domain.payouts import house
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.office import Office
from workers import payouts, reversing

ADA = Actor("command", "ada")
BEN = Actor("command", "ben")
PATH = "/v1/transfers/*/reversals"


@pytest.fixture
def office(engine: Engine, platform: Platform) -> Office:
    """A merchant whose one payout of 10.00 was paid."""
    platform.fund(10_000_000)
    made = Office(engine, platform)
    made.owe(1_000)
    made.build()
    made.work_off()
    return made


def payout_of(office: Office) -> int:
    return min(office.states())


def ask(
    office: Office, amount: int | None = None, *, payout_id: int | None = None, **more: Any
) -> int:
    """Ask for a reversal; returns the request's id."""
    with transaction(office.engine) as tx:
        return service.request_reversal(
            tx,
            office.merchant_id,
            payout_id or payout_of(office),
            amount=amount,
            reason="paid by mistake",
            actor=ADA,
            **more,
        ).request_id


def rows(office: Office, statement: str) -> list[tuple[Any, ...]]:
    with transaction(office.engine) as tx:
        return [tuple(row) for row in tx.execute(text(statement))]


def requests(office: Office) -> list[tuple[Any, ...]]:
    return rows(office, "SELECT state, error_code FROM reversal_requests ORDER BY id")


def spoil(office: Office, **rule: Any) -> None:
    """Plan a fault of reversals."""
    planned = {"method": "POST", "path": PATH, **rule}
    office.platform.stripe.admin("PUT", "faults", seed=1, rules=[planned])


def mend(office: Office) -> None:
    office.platform.stripe.admin("DELETE", "faults")


def assert_came_back(office: Office, amount: int) -> None:
    """So much came back: once, by the sandbox's books and by ours; no invariant is broken."""
    assert sum(t.amount - t.net for t in office.platform.transfers()) == amount
    assert rows(
        office,
        "SELECT coalesce(sum(reversed_amount), 0), (SELECT coalesce(sum(amount), 0) FROM payout_reversals)"
        " FROM payouts",
    ) == [(amount, amount)]
    house.assert_whole(office.engine)


def test_a_payout_is_taken_back_in_full(office: Office) -> None:
    ask(office)
    assert_came_back(office, 0)
    office.work_off()
    assert requests(office) == [("succeeded", None)]
    assert set(office.states().values()) == {"reversed"}
    assert_came_back(office, 1_000)
    assert rows(office, "SELECT action, actor_id, reason FROM audit_entries") == [
        ("payout.reversal_requested", "ada", "paid by mistake")
    ]


def test_parts_are_taken_back_one_after_the_other_up_to_the_whole(office: Office) -> None:
    for amount, after in ((300, "paid"), (200, "paid"), (None, "reversed")):
        ask(office, amount)
        office.work_off()
        assert set(office.states().values()) == {after}
    assert_came_back(office, 1_000)
    assert rows(office, "SELECT n, amount, idempotency_key FROM reversal_requests ORDER BY n") == [
        (n, amount, key)
        for n, amount, (key,) in zip(
            (1, 2, 3),
            (300, 200, 500),
            rows(
                office,
                "SELECT 'payspool/' || code || '/' || p.id || '/reverse/' || n"
                " FROM installation, payouts p, generate_series(1, 3) n ORDER BY n",
            ),
            strict=True,
        )
    ]


def test_what_came_back_can_be_decided_on_as_what_was_reversed_at_stripe(office: Office) -> None:
    ask(office)
    office.work_off()
    with transaction(office.engine) as tx:
        service.release(tx, payout_of(office), reason="wrong account", actor=ADA)
    office.build("next")
    office.work_off()
    assert sorted(office.states().values()) == ["paid", "reversed"]
    office.assert_paid_once()


ONCE = [
    {"fault": "drop_before"},
    {"fault": "drop_during"},
    {"fault": "drop_after"},
    {"fault": "error_500_not_done", "stored": False},
    {"fault": "rate_limit"},
    {"fault": "rate_limit", "retry_after": 30},
    {"fault": "lock_timeout", "status": 400},
    {"fault": "key_in_use"},
    {"fault": "unauthorized"},
    {"fault": "garbage"},
    {"fault": "slow", "ms": 700, "when": "before"},
    {"fault": "slow", "ms": 700, "when": "after"},
]


@pytest.mark.parametrize("fault", ONCE, ids=lambda fault: "-".join(map(str, fault.values())))
def test_after_any_fault_that_passes_a_part_comes_back_once(
    office: Office, fault: dict[str, Any]
) -> None:
    office.read_seconds = 0.3
    spoil(office, **fault, times=1)
    ask(office, 300)
    office.work_off()
    assert requests(office) == [("succeeded", None)]
    assert_came_back(office, 300)


def test_a_500_that_stripe_remembers_is_settled_by_a_look_up(office: Office) -> None:
    spoil(office, fault="error_500_done", times=1)
    request_id = ask(office, 300)
    office.messages()
    assert reversing.reverse(office, request_id).state == "unknown"  # type: ignore[union-attr]
    assert_only_theirs(office, 300)
    office.work_off()
    assert rows(office, "SELECT state, error_message FROM reversal_requests") == [
        ("succeeded", "found by look-up")
    ]
    assert_came_back(office, 300)


def assert_only_theirs(office: Office, amount: int) -> None:
    """It came back at Stripe, and nothing is booked here yet."""
    assert sum(t.amount - t.net for t in office.platform.transfers()) == amount
    assert rows(office, "SELECT count(*) FROM payout_reversals") == [(0,)]


def test_a_message_that_comes_twice_or_beside_itself_asks_once(office: Office) -> None:
    request_id = ask(office, 300)
    spoil(office, fault="slow", ms=200)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: reversing.reverse(office, request_id), range(4)))
    office.work_off()
    assert reversing.reverse(office, request_id) == Leave("succeeded")
    assert requests(office) == [("succeeded", None)]
    assert_came_back(office, 300)


def test_while_the_outcome_is_unknown_nothing_more_can_be_asked_for(office: Office) -> None:
    spoil(office, fault="drop_after")
    ask(office, 300)
    for actor, args in office.messages():
        office.do(actor, args)
    assert requests(office) == [("unknown", None)]
    with pytest.raises(NotReversible, match="on its way") as told:
        ask(office, 300)
    assert told.value.code == "in_progress"
    with transaction(office.engine) as tx:
        payout = tx.execute(text("SELECT id FROM payouts")).scalar_one()
        attempt = tx.execute(text("SELECT * FROM payout_attempts")).one()
        refused = tx.begin_nested()
        with pytest.raises(Exception, match="uq_reversal_requests_live"):
            _insert(tx, office.merchant_id, payout, attempt, n=2, amount=1)
        refused.rollback()
    mend(office)
    office.work_off()
    assert_came_back(office, 300)


def _insert(tx: Any, merchant_id: int, payout: int, attempt: Any, **more: Any) -> None:
    tx.execute(
        text(
            "INSERT INTO reversal_requests (merchant_id, payout_id, attempt_id, n, currency, amount, reason,"
            " asked_by, idempotency_key, transfer, platform_account)"
            " VALUES (:m, :p, :a, :n, 'usd', :amount, 'so', 'ada', 'k', :t, :account)"
        ),
        {
            "m": merchant_id,
            "p": payout,
            "a": attempt.id,
            "t": attempt.external_id,
            "account": attempt.platform_account,
            **more,
        },
    )


@pytest.mark.parametrize(("n", "amount"), [(1, 1_001), (2, 5)])
def test_the_database_refuses_more_than_was_paid_and_a_number_out_of_turn(
    office: Office, n: int, amount: int
) -> None:
    payout = payout_of(office)
    with transaction(office.engine) as tx:
        attempt = tx.execute(text("SELECT * FROM payout_attempts")).one()
    with (
        pytest.raises(Exception, match=r"above its|next request"),
        transaction(office.engine) as tx,
    ):
        _insert(tx, office.merchant_id, payout, attempt, n=n, amount=amount)


def test_what_came_back_and_what_is_asked_for_are_never_above_the_amount(office: Office) -> None:
    ask(office, 800)
    office.work_off()
    with pytest.raises(NotReversible, match="only 200 is left") as told:
        ask(office, 201)
    assert told.value.code == "too_large"
    with transaction(office.engine) as tx:
        attempt = tx.execute(text("SELECT * FROM payout_attempts")).one()
    with pytest.raises(Exception, match="above its 1000"), transaction(office.engine) as tx:
        _insert(tx, office.merchant_id, payout_of(office), attempt, n=2, amount=201)
    assert_came_back(office, 800)


def test_the_same_call_again_with_what_it_knew_takes_no_second_part(office: Office) -> None:
    ask(office, 300, came_back=0)
    office.work_off()
    with pytest.raises(NotReversible, match="300 of it came back already") as told:
        ask(office, 300, came_back=0)
    assert told.value.code == "changed"
    assert_came_back(office, 300)


def test_a_bad_amount_or_reason_and_an_unknown_payout_are_refused(office: Office) -> None:
    for amount in (0, -1, 2**63):
        with pytest.raises(Invalid):
            ask(office, amount)
    with pytest.raises(NoSuchPayout):
        ask(office, 1, payout_id=10**9)
    with transaction(office.engine) as tx, pytest.raises(NoSuchPayout):
        service.plan_reversal(tx, office.merchant_id + 1, payout_of(office), None)
    with transaction(office.engine) as tx, pytest.raises(Invalid, match="reason"):
        service.request_reversal(
            tx, office.merchant_id, payout_of(office), amount=None, reason=" ", actor=ADA
        )
    assert requests(office) == []


def test_only_what_was_paid_is_taken_back(office: Office) -> None:
    office.owe(500)
    [waiting] = office.build("second")
    office.messages()
    with pytest.raises(NotReversible) as told:
        ask(office, payout_id=waiting)
    assert told.value.code == "not_paid"
    ask(office)
    office.work_off()
    with pytest.raises(NotReversible) as told:
        ask(office, payout_id=payout_of(office))
    assert told.value.code == "already_reversed"


def test_what_stripe_refuses_has_failed_under_a_name_and_can_be_asked_for_again(
    office: Office,
) -> None:
    [transfer] = office.platform.transfers()
    office.platform.stripe.admin(
        "POST", "drain", key=office.platform.key, account=transfer.destination, currency="usd"
    )
    ask(office, 300)
    office.work_off()
    assert requests(office) == [("failed", "balance_insufficient")]
    assert_came_back(office, 0)
    assert set(office.states().values()) == {"paid"}


def by_hand(office: Office, amount: int) -> None:
    [transfer] = office.platform.transfers()
    office.platform.call("POST", f"/v1/transfers/{transfer.id}/reversals", amount=str(amount))


@pytest.mark.parametrize(
    ("came_back", "code"), [(1_000, "transfer_already_reversed"), (900, "reversal_too_large")]
)
def test_what_was_reversed_at_stripe_meanwhile_is_refused_there_by_name(
    office: Office, came_back: int, code: str
) -> None:
    ask(office, 300)
    by_hand(office, came_back)
    office.work_off()
    assert requests(office) == [("failed", code)]
    assert sum(t.amount - t.net for t in office.platform.transfers()) == came_back


def test_what_came_back_before_it_was_sent_is_not_sent(office: Office) -> None:
    ask(office, 300)
    by_hand(office, 900)
    [transfer] = office.platform.transfers()
    seen = office.platform.gateway().news.transfer(transfer.id)
    assert seen is not None
    with transaction(office.engine) as tx:
        service.book_reversals(tx, office.merchant_id, seen)
    office.work_off()
    assert requests(office) == [("failed", "too_large")]
    assert_came_back(office, 900)


@pytest.mark.parametrize("first", ["notice", "outcome"])
def test_a_notice_and_our_own_outcome_book_it_once_whichever_is_first(
    office: Office, first: str
) -> None:
    spoil(office, fault="drop_after", times=1)
    request_id = ask(office)
    office.messages()
    reversing.reverse(office, request_id)
    mend(office)
    [transfer] = office.platform.transfers()
    seen = office.platform.gateway().news.transfer(transfer.id)
    assert seen is not None

    def notice() -> None:
        with transaction(office.engine) as tx:
            service.book_reversals(tx, office.merchant_id, seen)

    steps: list[Callable[[], None]] = [notice, office.work_off]
    for step in steps if first == "notice" else reversed(steps):
        step()
    assert requests(office) == [("succeeded", None)]
    assert set(office.states().values()) == {"reversed"}
    assert_came_back(office, 1_000)


def test_a_notice_beside_our_own_outcome_books_it_once(office: Office) -> None:
    for n, amount in enumerate((100, 150, 250)):
        request_id = ask(office, amount)
        office.messages()
        spoil(office, fault="slow", ms=60, when="after")
        [transfer] = office.platform.transfers()
        together = threading.Barrier(2)

        def listen(wait: threading.Barrier = together, transfer_id: str = transfer.id) -> None:
            news = office.platform.gateway().news
            wait.wait(5)
            for _ in range(10):
                seen = news.transfer(transfer_id)
                assert seen is not None
                with transaction(office.engine) as tx:
                    service.book_reversals(tx, office.merchant_id, seen)

        def send(wait: threading.Barrier = together, request: int = request_id) -> None:
            wait.wait(5)
            reversing.reverse(office, request)

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(listen), pool.submit(send)]:
                done.result(30)
        office.work_off()
        assert requests(office) == [("succeeded", None)] * (n + 1)
    assert_came_back(office, 500)


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


def test_a_worker_that_dies_at_any_statement_has_taken_it_back_once_in_the_end(
    office: Office,
) -> None:
    died = 0
    for n in range(1, 60):
        request_id = ask(office, 10)
        office.messages()
        try:
            with dying_at(office.engine, n):
                reversing.reverse(office, request_id)
        except Killed:
            died += 1
        office.give_up_leases()
        office.execute("UPDATE reversal_requests SET look_at = now() WHERE look_at IS NOT NULL")
        payouts.sweep(office)
        office.work_off()
        assert requests(office) == [("succeeded", None)] * n
        assert_came_back(office, 10 * n)
        if died < n:
            break
    assert 10 < died < 59


def test_a_request_whose_message_was_lost_is_asked_for_again_by_the_sweep(office: Office) -> None:
    ask(office, 300)
    office.messages()
    assert payouts.sweep(office) == 0
    office.execute("UPDATE reversal_requests SET look_at = now() - interval '1 s'")
    assert payouts.sweep(office, paused=True) == 0
    assert payouts.sweep(office) == 1
    assert payouts.sweep(office) == 0
    office.work_off()
    assert_came_back(office, 300)


def age(owner: Engine, office: Office, hours: int) -> None:
    """As if every request had been sent so long ago, at Stripe too."""
    with transaction(owner) as tx:
        tx.execute(text("ALTER TABLE reversal_requests DISABLE TRIGGER keep_frozen"))
        tx.execute(
            text("UPDATE reversal_requests SET sent_at = sent_at - make_interval(hours => :h)"),
            {"h": hours},
        )
        tx.execute(text("ALTER TABLE reversal_requests ENABLE TRIGGER keep_frozen"))
    seconds = int(timedelta(hours=hours).total_seconds())
    office.platform.stripe.admin("POST", "clock", advance_seconds=seconds)


@pytest.mark.parametrize(
    ("fault", "state", "came_back"),
    [("drop_after", "succeeded", 300), ("drop_before", "unknown", 0)],
)
def test_after_a_day_the_key_is_forgotten_and_a_reversal_is_looked_up_not_sent(
    office: Office, owner: Engine, fault: str, state: str, came_back: int
) -> None:
    spoil(office, fault=fault, times=1)
    request_id = ask(office, 300)
    office.messages()
    reversing.reverse(office, request_id)
    age(owner, office, 25)
    spoil(office, fault="slow", times=0)
    office.work_off()
    assert office.platform.stripe.admin("GET", "faults")["rules"][0]["seen"] == 0, "nothing is sent"
    assert requests(office) == [(state, None)]
    assert_came_back(office, came_back)


def test_what_nobody_can_find_out_is_given_up_by_two_people_and_can_be_asked_for_again(
    office: Office, owner: Engine
) -> None:
    spoil(office, fault="drop_before", times=1)
    request_id = ask(office, 300)
    office.messages()
    reversing.reverse(office, request_id)
    acme, payout = office.merchant_id, payout_of(office)
    with transaction(office.engine) as tx, pytest.raises(NotReversible, match="still remembers"):
        service.propose_giving_up(tx, acme, payout, evidence="not there", actor=ADA)
    age(owner, office, 25)
    office.work_off()
    [(waits,)] = rows(office, "SELECT waits_for FROM reversal_requests")
    assert "two people decide" in waits
    with transaction(office.engine) as tx, pytest.raises(NotReversible, match="nobody"):
        service.agree_giving_up(tx, acme, payout, actor=BEN)
    office.execute("UPDATE reversal_requests SET lease_until = now() + interval '1 minute'")
    with transaction(office.engine) as tx, pytest.raises(NotReversible, match="at this moment"):
        service.propose_giving_up(tx, acme, payout, evidence="not there", actor=ADA)
    with pytest.raises(IntegrityError, match="is being asked about it"):
        office.execute(
            "UPDATE reversal_requests SET state = 'failed', error_code = 'abandoned', abandon_evidence = 'x',"
            " abandon_proposed_by = 'ada', abandon_agreed_by = 'ben'"
        )
    office.give_up_leases()
    with transaction(office.engine) as tx:
        service.propose_giving_up(tx, acme, payout, evidence="not there", actor=ADA)
    with transaction(office.engine) as tx, pytest.raises(NotReversible, match="another person"):
        service.agree_giving_up(tx, acme, payout, actor=ADA)
    with transaction(office.engine) as tx:
        service.agree_giving_up(tx, acme, payout, actor=BEN)
    assert requests(office) == [("failed", "abandoned")]
    ask(office, 300)
    office.work_off()
    assert_came_back(office, 300)


def test_a_stop_by_a_person_does_not_keep_money_from_coming_back(office: Office) -> None:
    with transaction(office.engine) as tx:
        stopping.stop(tx, actor=ADA, reason="wrong amounts", merchant_id=None, method=None)
    ask(office)
    office.work_off()
    assert_came_back(office, 1_000)


def test_while_the_gateway_does_not_answer_a_request_waits_and_then_goes_on(office: Office) -> None:
    with transaction(office.engine) as tx:
        tx.execute(
            text(
                "INSERT INTO payout_stops (kind, merchant_id, method, reason, stopped_by, probe_at)"
                " VALUES ('breaker', :m, 'stripe', 'silent', 'breaker', now() + interval '1 h')"
            ),
            {"m": office.merchant_id},
        )
    request_id = ask(office, 300)
    assert reversing.reverse(office, request_id) == Leave("stopped")
    [(waits,)] = rows(office, "SELECT waits_for FROM reversal_requests")
    assert "silent" in waits
    office.execute("UPDATE reversal_requests SET look_at = now()")
    assert payouts.sweep(office) == 0
    with transaction(office.engine) as tx:
        breakers.close_breaker(tx, office.merchant_id, "stripe", actor=ADA)
    assert payouts.sweep(office) == 1
    office.work_off()
    assert_came_back(office, 300)


def test_a_request_that_is_put_off_is_asked_for_again_and_a_settled_one_is_not(
    office: Office,
) -> None:
    request_id = ask(office, 300)
    office.messages()
    wait = timedelta(minutes=1)
    with transaction(office.engine) as tx:
        assert service.put_off_reversal(tx, request_id, wait) == Leave("put_off")
    assert [actor for actor, _ in office.messages()] == ["payouts.reverse"]
    reversing.reverse(office, request_id)
    with transaction(office.engine) as tx:
        service.put_off_reversal(tx, request_id, wait)
    assert office.messages() == []
    assert rows(office, "SELECT state, look_at FROM reversal_requests") == [("succeeded", None)]


def test_a_request_about_another_accounts_transfer_is_held(office: Office) -> None:
    request_id = ask(office, 300)
    other = office.platform.stripe.platform()
    mine, office.platform = office.platform, other
    assert reversing.reverse(office, request_id) == Leave("other_account")
    office.platform = mine
    other.close()
    office.work_off()
    assert_came_back(office, 300)


def test_a_key_that_was_used_before_it_was_sent_stops_the_payout(office: Office) -> None:
    [transfer] = office.platform.transfers()
    request_id = ask(office, 300)
    [(key,)] = rows(office, "SELECT idempotency_key FROM reversal_requests")
    office.platform._http.post(
        f"/v1/transfers/{transfer.id}/reversals",
        data={"amount": "5"},
        headers={"Idempotency-Key": key},
    )
    reversing.reverse(office, request_id)
    [(frozen,)] = rows(office, "SELECT frozen_reason FROM payouts")
    assert "used with other parameters" in frozen
    assert reversing.reverse(office, request_id) == Leave("frozen")
    assert requests(office) == [("unknown", None)]
    with pytest.raises(NotReversible, match="stopped"):
        ask(office, 1)
    office.execute("UPDATE reversal_requests SET look_at = now()")
    assert payouts.sweep(office) == 0


@contextmanager
def undone(office: Office) -> Iterator[Any]:
    """A transaction that is rolled back, however it ends."""
    with office.engine.connect() as tx:
        yield tx
        tx.rollback()


MOVE = text(
    "UPDATE reversal_requests SET state = :s,"
    " sent_at = CASE WHEN :s = 'sending' THEN coalesce(sent_at, now()) ELSE sent_at END"
)


def test_the_database_allows_the_moves_of_the_rules_and_no_other(office: Office) -> None:
    ask(office, 300)
    roads = {
        "created": [],
        "sending": ["sending"],
        "unknown": ["sending", "unknown"],
        "failed": ["failed"],
        "succeeded": ["sending", "succeeded"],
    }
    sent = "params = '{}', params_hash = '\\x00', api_version = 'v', external_id = 'trr_1'"
    booked = (
        "INSERT INTO payout_reversals (merchant_id, payout_id, currency, amount, external_id)"
        " SELECT merchant_id, id, 'usd', 300, 'trr_1' FROM payouts"
    )
    for old, new in permutations(REVERSAL.states, 2):
        with undone(office) as tx:
            tx.execute(text(booked))
            tx.execute(text(f"UPDATE reversal_requests SET {sent}"))
            for state in roads[old]:
                tx.execute(MOVE, {"s": state})
            refused = False
            try:
                tx.execute(MOVE, {"s": new})
            except IntegrityError:
                refused = True
            assert refused != can(REVERSAL, old, new), f"{old} → {new}"


@pytest.mark.parametrize(
    "change",
    [
        "amount = 1",
        "idempotency_key = 'other'",
        "n = 7",
        "transfer = 'tr_other'",
        "platform_account = 'acct_other'",
        "params = '{}'",
        "params_hash = '\\x01'",
        "api_version = 'w'",
        "external_id = 'trr_other'",
        "sent_at = now()",
        "reason = 'other'",
        "asked_by = 'eve'",
    ],
)
def test_what_was_asked_for_never_changes(office: Office, change: str) -> None:
    ask(office, 300)
    office.work_off()
    with pytest.raises(IntegrityError, match="what was frozen never changes"):
        office.execute(f"UPDATE reversal_requests SET {change}")
    with pytest.raises(ProgrammingError, match="permission denied"):
        office.execute("DELETE FROM reversal_requests")


def test_while_it_is_taken_back_nothing_goes_on_to_the_bank(office: Office) -> None:
    ask(office, 300)
    bank = (
        "INSERT INTO payout_attempts (merchant_id, payout_id, leg, n, idempotency_key, params, params_hash,"
        " api_version, platform_account, state)"
        " SELECT merchant_id, id, 'bank', 1, 'bank', '{}', '\\x00', 'v', 'acct', 'sending' FROM payouts"
    )
    office.execute("UPDATE payouts SET state = 'returned'")
    with pytest.raises(IntegrityError, match="nothing of it may go to the bank"):
        office.execute(bank)


def test_a_success_that_is_not_booked_is_refused_by_the_database(office: Office) -> None:
    ask(office, 300)
    office.messages()
    office.execute(
        "UPDATE reversal_requests SET state = 'sending', params = '{}', params_hash = '\\x00',"
        " api_version = 'v', sent_at = now()"
    )
    with pytest.raises(Exception, match="is not booked"):
        office.execute("UPDATE reversal_requests SET state = 'succeeded', external_id = 'trr_1'")
