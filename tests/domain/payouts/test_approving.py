"""Approval of runs: another person, the hash that they saw, in time; in the code and in the database."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotApprovable
from domain.payouts.rules import Leave
from domain.payouts.rules.approving import Limits
from domain.payouts.service import approving
from domain.payouts.store import policies
from tests.domain.payouts import house
from tests.domain.payouts.house import PAPER, assert_whole

ANN, BEN = Actor("person", "ann"), Actor("person", "ben")


@pytest.fixture
def acme(engine: Engine) -> int:
    """A merchant whose runs need a person above 50.00 a payout and 60.00 a run."""
    with transaction(engine) as tx:
        made = house.merchant(tx)
        policies.put(tx, made, "above_limits", 72)
        policies.put_limits(tx, made, "usd", Limits(5_000, 6_000))
        for user in ("ada", "bea"):
            house.payee(tx, made, user, f"acct_{user}")
    return made


def owe(engine: Engine, acme: int, *amounts: int) -> None:
    with transaction(engine) as tx:
        for user, amount in zip(("ada", "bea"), amounts, strict=False):
            house.earn(tx, acme, amount, user)


def pending(engine: Engine, acme: int) -> int:
    """A run prepared by ann that waits for somebody else."""
    owe(engine, acme, 5_001, 10)
    result = house.run(engine, acme, prepared_by="ann")
    assert result.state == "pending_approval"
    return result.run_id


def hash_of(engine: Engine) -> bytes:
    return bytes(house.scalar(engine, "SELECT members_hash FROM payout_runs"))


def approve(engine: Engine, run_id: int, by: Actor = BEN, seen: bytes | None = None) -> None:
    seen = hash_of(engine) if seen is None else seen
    with transaction(engine) as tx:
        approving.approve(tx, run_id, actor=by, seen_hash=seen)
    service.hand_over(engine, run_id)


def reject(engine: Engine, run_id: int) -> None:
    with transaction(engine) as tx:
        approving.reject(tx, run_id, actor=BEN, reason="too much")
    approving.cancel_drafts(engine, run_id)


def states(engine: Engine) -> list[str]:
    return [state for (state,) in house.rows(engine, "SELECT state FROM payouts ORDER BY id")]


def messages(engine: Engine) -> int:
    count: int = house.scalar(engine, "SELECT count(*) FROM outbox WHERE actor = 'payouts.send'")
    return count


def let_it_expire(owner: Engine) -> None:
    with transaction(owner) as tx:
        tx.execute(text("ALTER TABLE payout_runs DISABLE TRIGGER keep_frozen"))
        tx.execute(text("UPDATE payout_runs SET approval_expires_at = now() - interval '1 second'"))
        tx.execute(text("ALTER TABLE payout_runs ENABLE TRIGGER keep_frozen"))


@pytest.mark.parametrize(
    ("amounts", "waits"),
    [((5_000, 1_000), False), ((5_001,), True), ((3_001, 3_000), True), ((), False)],
)
def test_a_run_waits_for_a_person_above_a_limit_only(
    engine: Engine, acme: int, amounts: tuple[int, ...], waits: bool
) -> None:
    owe(engine, acme, *amounts)
    result = house.run(engine, acme)
    assert (result.state == "pending_approval") == waits
    assert messages(engine) == (0 if waits else len(amounts))


def test_every_run_of_a_live_merchant_waits_unless_its_policy_says_otherwise(
    engine: Engine,
) -> None:
    with transaction(engine) as tx:
        live = tx.execute(
            text("INSERT INTO merchants (key, name, mode) VALUES ('l', 'L', 'live') RETURNING id")
        ).scalar_one()
        house.payee(tx, live)
        tx.execute(text("UPDATE payees SET destination_since = as_of - interval '1 day'"))
        house.earn(tx, live, 1)
    assert house.run(engine, live).state == "pending_approval"


def test_another_person_approves_and_the_payouts_are_handed_over_once(
    engine: Engine, acme: int
) -> None:
    run_id = pending(engine, acme)
    assert states(engine) == ["draft", "draft"]
    approve(engine, run_id)
    service.hand_over(engine, run_id)
    assert house.run(engine, acme, prepared_by="ann").state == "sending"
    assert states(engine) == ["approved", "approved"]
    assert messages(engine) == 2
    assert house.rows(
        engine, "SELECT approved_by, prepared_by, approved_hash = members_hash FROM payout_runs"
    ) == [("ben", "ann", True)]


def test_nothing_of_a_run_that_waits_is_sent_however_often_it_is_built(
    engine: Engine, acme: int
) -> None:
    pending(engine, acme)
    assert house.run(engine, acme, prepared_by="ben").state == "pending_approval"
    service.tend_runs(engine)
    [payout_id, _] = [i for (i,) in house.rows(engine, "SELECT id FROM payouts ORDER BY id")]
    with transaction(engine) as tx:
        begun = service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)
    assert begun == Leave("draft")


@pytest.mark.parametrize("name", ["ann", "automatic"])
def test_who_prepared_a_run_and_nobody_cannot_approve_it(
    engine: Engine, acme: int, name: str
) -> None:
    run_id = pending(engine, acme)
    with pytest.raises(NotApprovable):
        approve(engine, run_id, Actor("person", name))
    with pytest.raises(IntegrityError, match="person has to approve"):
        house.execute(
            engine,
            "UPDATE payout_runs SET state = 'approved', approved_by = :by, approved_hash = members_hash",
            by=name,
        )
    assert states(engine) == ["draft", "draft"]


def test_an_approval_is_of_the_hash_that_was_seen(engine: Engine, acme: int) -> None:
    run_id = pending(engine, acme)
    with pytest.raises(NotApprovable, match="hash"):
        approve(engine, run_id, seen=b"another")
    for hashed in ("'\\x01'", "NULL"):
        with pytest.raises(IntegrityError, match="approved_by_whom"):
            house.execute(
                engine,
                "UPDATE payout_runs SET state = 'approved', approved_by = 'ben',"
                f" approved_hash = {hashed}",
            )
    assert messages(engine) == 0


def test_an_approval_comes_too_late_and_the_sweep_gives_the_earnings_back(
    engine: Engine, owner: Engine, acme: int
) -> None:
    run_id = pending(engine, acme)
    let_it_expire(owner)
    with pytest.raises(NotApprovable, match="until"):
        approve(engine, run_id)
    with pytest.raises(IntegrityError, match="until"):
        house.execute(
            engine,
            "UPDATE payout_runs SET state = 'approved', approved_by = 'ben', approved_hash = members_hash",
        )
    service.tend_runs(engine)
    assert house.rows(engine, "SELECT state, reject_reason FROM payout_runs") == [
        ("rejected", approving.EXPIRED)
    ]
    assert states(engine) == ["canceled", "canceled"]
    assert_whole(engine)


def test_a_rejected_run_gives_its_earnings_back_to_the_next_one(engine: Engine, acme: int) -> None:
    run_id = pending(engine, acme)
    reject(engine, run_id)
    assert states(engine) == ["canceled", "canceled"]
    with pytest.raises(NotApprovable, match="rejected"):
        approve(engine, run_id)
    assert house.run(engine, acme, "next", prepared_by="ann").created == 2
    assert_whole(engine)


def test_a_rejection_that_was_interrupted_is_finished_by_the_sweep(
    engine: Engine, acme: int
) -> None:
    run_id = pending(engine, acme)
    with transaction(engine) as tx:
        approving.reject(tx, run_id, actor=BEN, reason="too much")
    assert states(engine) == ["draft", "draft"]
    service.tend_runs(engine)
    assert states(engine) == ["canceled", "canceled"]
    assert_whole(engine)


def test_an_approval_that_was_interrupted_is_handed_over_by_the_sweep(
    engine: Engine, acme: int
) -> None:
    run_id = pending(engine, acme)
    with transaction(engine) as tx:
        approving.approve(tx, run_id, actor=BEN, seen_hash=hash_of(engine))
    assert messages(engine) == 0
    service.tend_runs(engine)
    assert (states(engine), messages(engine)) == (["approved", "approved"], 2)


def test_what_was_canceled_before_the_approval_stays_so(engine: Engine, acme: int) -> None:
    run_id = pending(engine, acme)
    first = house.scalar(engine, "SELECT min(id) FROM payouts")
    with transaction(engine) as tx:
        service.cancel(tx, first, reason="not her")
    approve(engine, run_id)
    assert states(engine) == ["canceled", "approved"]
    assert_whole(engine)


def test_a_run_whose_rows_are_not_those_that_were_frozen_is_not_approved(
    engine: Engine, owner: Engine, acme: int
) -> None:
    run_id = pending(engine, acme)
    with transaction(owner) as tx:
        tx.execute(text("ALTER TABLE payouts DISABLE TRIGGER keep_frozen"))
        tx.execute(text("UPDATE payouts SET destination = 'acct_eve' WHERE user_id = 'ada'"))
        tx.execute(text("ALTER TABLE payouts ENABLE TRIGGER keep_frozen"))
    with pytest.raises(NotApprovable, match="not what was frozen"):
        approve(engine, run_id)


def test_a_run_keeps_the_policy_that_it_was_opened_with(engine: Engine, acme: int) -> None:
    pending(engine, acme)
    with transaction(engine) as tx:
        policies.put(tx, acme, "never", 1)
    assert house.run(engine, acme, prepared_by="ann").state == "pending_approval"
    owe(engine, acme, 9_000)
    assert house.run(engine, acme, "next").state == "sending"
