"""What may be fraud is born held, with its evidence, and waits for a person; nothing releases itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.earnings import service as earnings
from domain.errors import Forbidden, Invalid, NotFound
from domain.payouts import service as payouts
from domain.payouts.service import PayeeUpdate, RunSpec
from domain.referrals import holds
from domain.referrals.rules.holds import HoldPolicy
from payspool_client import email_hash
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    PATIENCE,
    PERCENTAGE,
    assert_whole,
    attributed,
    balance,
    code,
    conversion,
    dispute,
    merchant,
    open_shop,
    program,
    refund,
    rows,
    said,
    scalar,
    send,
    send_one_by_one,
    together,
    wait_until_blocked,
)
from tests.domain.payouts import house

MIA = Actor("person", "mia")
HOUR = timedelta(hours=1)
SAME = email_hash("ada@example.com")


@pytest.fixture
def db(tx: Tx) -> Rolled:
    return Rolled(tx)


def watch(db: Any, acme: int, key: str | None = "refer", **limits: Any) -> None:
    with transaction(db) as tx:
        holds.set_policy(tx, acme, key, HoldPolicy(**limits), actor=MIA)


def open_holds(db: Any, acme: int) -> list[Any]:
    with transaction(db) as tx:
        return holds.listing(tx, acme, limit=100)


def held(db: Any) -> list[tuple[Any, ...]]:
    return rows(
        db,
        """
        SELECT t.transaction_id, e.hold_reason FROM trackings t
        LEFT JOIN earnings e ON e.source_kind = 'tracking' AND e.source_id = t.id AND e.kind = 'reward'
        ORDER BY 1
        """,
    )


def decide(db: Any, acme: int, what: Any, number: int = 0, reason: str = "looked at it") -> Any:
    hold = open_holds(db, acme)[number]
    with transaction(db) as tx:
        return what(tx, acme, hold.id, actor=MIA, reason=reason)


def know_ada(db: Any) -> None:
    """Ada was referred herself once, by an address that the shop told."""
    with transaction(db) as tx:
        acme = scalar(db, "SELECT id FROM merchants WHERE key = 'acme'")
        program(tx, acme, PERCENTAGE, "other")
        code(tx, acme, "ZOE-01", "zoe", "other")
    came = attributed("ada", "ZOE-01").replace(
        '"data": {', f'"data": {{"referred_email_hash": "{SAME}", '
    )
    assert said(send(db, came)) == ["applied"]


def test_who_refers_their_own_address_is_held_with_the_evidence(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE, referee_rule={"amount": 50})
    know_ada(db)
    same = email_hash("Ada+other@Example.com")
    send(
        db,
        conversion("o1", referred_email_hash=same),
        conversion("o2", "cyd", referred_email_hash=email_hash("cyd@example.com")),
        conversion("o3", "dan"),
    )
    assert held(db) == [("o1", "same_email"), ("o2", None), ("o3", None)]
    [hold] = open_holds(db, acme)
    assert (hold.kind, hold.evidence) == (
        "same_email",
        {"referrer": "ada", "referred": "ben", "email_hash": SAME},
    )
    assert rows(db, "SELECT payout_status FROM tracking_details ORDER BY id") == [
        ("held",),
        ("pending",),
        ("pending",),
    ]
    assert scalar(db, "SELECT count(*) FROM earnings WHERE held_at IS NOT NULL") == 2
    assert_whole(db)


def test_an_address_told_earlier_in_the_same_batch_is_known(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        program(tx, acme, PERCENTAGE, "other")
        code(tx, acme, "ZOE-01", "zoe", "other")
    send(
        db,
        conversion("o0", "ada", by="ZOE-01", referred_email_hash=SAME),
        conversion("o1", referred_email_hash=SAME),
    )
    assert held(db) == [("o0", None), ("o1", "same_email")]


@pytest.mark.parametrize("deliver", [send, send_one_by_one], ids=["one batch", "one by one"])
def test_an_address_that_only_an_earlier_event_told_is_compared_too(
    db: Rolled, deliver: Any
) -> None:
    open_shop(db, PERCENTAGE)
    know_ada(db)
    came = attributed("ben", "ADA-01").replace(
        '"data": {', f'"data": {{"referred_email_hash": "{SAME}", '
    )
    deliver(db, conversion("o0", "cyd"), came, conversion("o1"), conversion("o2", "cyd"))
    assert held(db) == [("o0", None), ("o1", "same_email"), ("o2", None)]
    assert_whole(db)


def test_the_next_conversion_beyond_a_limit_is_held_whatever_the_batches(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    watch(db, acme, code_per_hour=2, referrer_per_day=4)
    texts = [
        conversion(f"o{i}", f"u{i}", at=JUNE + (i % 3) * HOUR + timedelta(minutes=i))
        for i in range(9)
    ]
    for cut in (9, 1, 4):
        with db.scratch():
            for at in range(0, 9, cut):
                send(db, *texts[at : at + cut])
            found = rows(
                db,
                "SELECT transaction_id, ref, (evidence->'conversion')::int FROM tracking_holds"
                " JOIN trackings t ON t.id = tracking_id ORDER BY 1, 2",
            )
            assert found == [
                ("o4", "referrer/day", 5),
                ("o5", "referrer/day", 6),
                ("o6", "code/hour", 3),
                ("o6", "referrer/day", 7),
                ("o7", "code/hour", 3),
                ("o7", "referrer/day", 8),
                ("o8", "code/hour", 3),
                ("o8", "referrer/day", 9),
            ]
            assert_whole(db)


def test_a_programs_policy_goes_before_its_merchants(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    watch(db, acme, None, referrer_per_hour=1)
    send(db, conversion("o1", "u1"), conversion("o2", "u2"))
    watch(db, acme, referrer_per_hour=3)
    send(db, conversion("o3", "u3"), conversion("o4", "u4"))
    assert held(db) == [("o1", None), ("o2", "velocity"), ("o3", None), ("o4", "velocity")]


def test_limits_are_exact_among_eight_workers(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    watch(engine, acme, code_per_hour=11, referrer_per_day=20)

    def work(worker: int) -> None:
        texts = [conversion(f"o{worker}-{i}", f"u{worker}-{i}") for i in range(6)]
        for at in range(0, 6, 1 + worker % 3):
            send(engine, *texts[at : at + 1 + worker % 3])

    together([lambda w=w: work(w) for w in range(8)])
    assert rows(engine, "SELECT ref, count(*) FROM tracking_holds GROUP BY 1 ORDER BY 1") == [
        ("code/hour", 48 - 11),
        ("referrer/day", 48 - 20),
    ]
    assert scalar(engine, "SELECT count(*) FROM earnings WHERE held_at IS NULL") == 11
    assert_whole(engine)


def pay(engine: Any, acme: int, **accounts: str) -> None:
    with transaction(engine) as tx:
        payouts.put_payees(
            tx, [PayeeUpdate(acme, u, "stripe", JUNE, a) for u, a in accounts.items()]
        )


def test_who_is_paid_where_their_referrer_is_is_held(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    pay(db, acme, ada="acct_1", ben="acct_1", cyd="acct_2")
    send(db, conversion("o0"))
    watch(db, acme, shared_destination=True)
    send(db, conversion("o1"), conversion("o2", "cyd"), conversion("o3", "dan"))
    assert held(db) == [("o0", None), ("o1", "shared_destination"), ("o2", None), ("o3", None)]


def test_a_released_hold_makes_what_was_earned_payable_and_is_audited(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    know_ada(db)
    send(db, conversion("o1", referred_email_hash=SAME))
    decide(db, acme, holds.release, reason="a family")
    assert held(db) == [("o1", None)]
    assert open_holds(db, acme) == []
    [ended] = rows(db, "SELECT outcome, closed_by, close_reason FROM tracking_holds")
    assert ended == ("released", "mia", "a family")
    assert rows(
        db, "SELECT actor_id, reason FROM audit_entries WHERE action = 'hold.released'"
    ) == [("mia", "a family")]
    send(db, conversion("o1", referred_email_hash=SAME))
    assert held(db) == [("o1", None)], "a replay holds nothing again"


def test_each_of_two_reasons_has_to_be_released(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    know_ada(db)
    watch(db, acme, code_per_hour=1)
    send_one_by_one(
        db, conversion("o0", "cyd"), conversion("o1", referred_email_hash=SAME), dispute("o1")
    )
    decide(db, acme, holds.release, 1)
    assert ("o1", None) not in held(db)
    decide(db, acme, holds.release, 1)
    assert held(db) == [("o0", None), ("o1", "dispute")]
    send(db, dispute("o1", "won"))
    assert held(db) == [("o0", None), ("o1", None)]


def test_a_won_dispute_does_not_release_what_may_be_fraud(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    know_ada(db)
    send_one_by_one(
        db, conversion("o1", referred_email_hash=SAME), dispute("o1"), dispute("o1", "won")
    )
    assert held(db) == [("o1", "same_email")]


def test_what_is_rejected_is_void_with_all_that_was_taken_back_of_it(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE, referee_rule={"amount": 51})
    know_ada(db)
    send_one_by_one(
        db,
        conversion("o1", referred_email_hash=SAME),
        conversion("o2", "cyd", 5_000),
        refund("o1", 3_000),
    )
    decide(db, acme, holds.reject)
    assert (balance(db), balance(db, "ben")) == (500, 0)
    assert scalar(db, "SELECT count(*) FROM earnings WHERE voided_at IS NOT NULL") == 4
    assert rows(db, "SELECT payout_status FROM tracking_details ORDER BY id") == [
        ("reversed",),
        ("pending",),
    ]
    send_one_by_one(db, refund("o1", id_="rest"), dispute("o1", "lost"), dispute("o1", id_="d2"))
    assert balance(db) == 500, "what is taken back later is void with it"
    assert_whole(db)
    with transaction(db) as tx:
        [owed] = earnings.summary(tx, acme, "ada", JUNE + 30 * DAY)
    assert (owed.due, owed.held, owed.voided) == (500, 0, 700)


def test_what_was_decided_stays_and_a_dispute_is_no_persons_to_decide(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    know_ada(db)
    send_one_by_one(db, conversion("o1", referred_email_hash=SAME), dispute("o1"))
    for what in (holds.release, holds.reject):
        with pytest.raises(Forbidden, match="ends with its outcome"):
            decide(db, acme, what, 0)
    hold = open_holds(db, acme)[1]
    decide(db, acme, holds.reject, 1)
    with transaction(db) as tx:
        for what in (holds.release, holds.reject):
            with pytest.raises(Forbidden, match="rejected by mia"):
                what(tx, acme, hold.id, actor=MIA, reason="again")
            with pytest.raises(NotFound):
                what(tx, merchant(tx, f"zeta-{what.__name__}"), hold.id, actor=MIA, reason="theirs")
            with pytest.raises(Invalid, match="reason"):
                what(tx, acme, hold.id, actor=MIA, reason=" ")


@pytest.mark.parametrize("said_wrong", [{"code_per_hour": 0}, {"referrer_per_day": 2**31}])
def test_a_policy_that_cannot_be_meant_is_refused_by_name(
    db: Rolled, said_wrong: dict[str, int]
) -> None:
    acme = open_shop(db, PERCENTAGE)
    with pytest.raises(Invalid) as refused:
        watch(db, acme, **said_wrong)
    assert refused.value.field in said_wrong


def test_the_database_lets_nothing_go_while_a_suspicion_is_open(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    know_ada(db)
    send(db, conversion("o1", referred_email_hash=SAME))
    with pytest.raises(Exception, match="is open"), transaction(db) as tx:
        tx.execute(text("UPDATE earnings SET held_at = NULL, hold_reason = NULL"))


def suspect(engine: Engine) -> int:
    acme = open_shop(engine, PERCENTAGE)
    know_ada(engine)
    pay(engine, acme, ada="acct_ada")
    send(engine, conversion("o1", referred_email_hash=SAME))
    return acme


def test_a_run_takes_what_was_released_and_never_what_is_held_or_rejected(engine: Engine) -> None:
    acme = suspect(engine)
    send(
        engine,
        conversion("o2", "cyd", 5_000),
        conversion("o3", "ben", 7_000, referred_email_hash=SAME),
    )
    payouts.build_run(engine, RunSpec(acme, "one", JUNE + DAY))
    assert rows(engine, "SELECT amount FROM payouts") == [(500,)]
    decide(engine, acme, holds.release, 1)
    decide(engine, acme, holds.reject, 0)
    payouts.build_run(engine, RunSpec(acme, "two", JUNE + DAY))
    assert rows(engine, "SELECT amount FROM payouts ORDER BY id") == [(500,), (1_000,)]
    house.assert_whole(engine)


@pytest.mark.parametrize("first", ["reject", "refund"])
def test_a_refund_and_a_rejection_wait_for_one_another(engine: Engine, first: str) -> None:
    acme = suspect(engine)
    hold = open_holds(engine, acme)[0]

    def reject(tx: Tx) -> None:
        holds.reject(tx, acme, hold.id, actor=MIA, reason="one person")

    def give_back(tx: Tx) -> None:
        assert said(send(Rolled(tx), refund("o1", 4_000))) == ["applied"]  # type: ignore[arg-type]

    one, other = (reject, give_back) if first == "reject" else (give_back, reject)

    def later() -> None:
        with transaction(engine) as tx:
            other(tx)

    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            one(tx)
            waiting = pool.submit(later)
            wait_until_blocked(engine)
        waiting.result(PATIENCE)
    assert balance(engine) == 0
    assert scalar(engine, "SELECT count(*) FROM earnings WHERE voided_at IS NULL") == 0
    house.assert_whole(engine)


def test_two_people_who_release_two_reasons_at_once_let_it_go(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    watch(engine, acme, code_per_hour=1, referrer_per_hour=1)
    send(engine, conversion("o0", "u0"), conversion("o1", "u1"))
    numbers = [hold.id for hold in open_holds(engine, acme)]

    def release(number: int) -> None:
        with transaction(engine) as tx:
            holds.release(tx, acme, number, actor=MIA, reason="fine")

    together([lambda n=n: release(n) for n in numbers])
    assert held(engine) == [("o0", None), ("o1", None)]
