"""An approval races whatever could make it the approval of something else: one outcome, and never a send of
what was not approved."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotApprovable
from domain.payouts.rules import Leave
from domain.payouts.rules.approving import Limits
from domain.payouts.service import Attempt, approving
from domain.payouts.store import policies
from tests.domain.payouts import house
from tests.domain.payouts.house import JUNE, PAPER, assert_whole, rows, scalar
from tests.domain.payouts.test_races import together

ROUNDS = 6
BEN, CLEO, DAN = (Actor("person", name) for name in ("ben", "cleo", "dan"))


def pending(engine: Engine, key: str) -> tuple[int, int]:
    """A merchant and its run that waits for a person: two payouts."""
    with transaction(engine) as tx:
        acme = house.merchant(tx, key)
        policies.put(tx, acme, "above_limits", 72)
        policies.put_limits(tx, acme, "usd", Limits(100, 100))
        for user in ("ada", "bea"):
            house.payee(tx, acme, user, f"acct_{user}")
            house.earn(tx, acme, 1_000, user)
    made = house.run(engine, acme, prepared_by="ann")
    assert made.state == "pending_approval"
    return acme, made.run_id


def seen_hash(engine: Engine, run_id: int) -> bytes:
    return bytes(scalar(engine, "SELECT members_hash FROM payout_runs WHERE id = :id", id=run_id))


def approve(engine: Engine, run_id: int, seen: bytes, by: Actor = BEN) -> bool:
    try:
        with transaction(engine) as tx:
            approving.approve(tx, run_id, actor=by, seen_hash=seen)
    except (NotApprovable, IntegrityError):
        # In the last moment of its time it is the database that refuses.
        return False
    service.hand_over(engine, run_id)
    return True


def send_all(engine: Engine, run_id: int) -> list[Attempt | Leave]:
    """What a worker would do that got messages of the run at any moment."""
    begun: list[Attempt | Leave] = []
    ids = [i for (i,) in rows(engine, "SELECT id FROM payouts WHERE run_id = :run", run=run_id)]
    for payout_id in ids:
        with transaction(engine) as tx:
            begun.append(service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER))
    return begun


def attempts(engine: Engine, run_id: int) -> int:
    count: int = scalar(
        engine,
        "SELECT count(*) FROM payout_attempts a JOIN payouts p ON p.id = a.payout_id"
        " WHERE p.run_id = :run",
        run=run_id,
    )
    return count


def race(
    engine: Engine,
    against: Callable[[int, int, bytes], Any],
    before: Callable[[int], None] = lambda _: None,
) -> list[tuple[int, bool, Any]]:
    """(run, whether ben's approval came through, what the other one got) of some rounds, each beside an
    impatient worker; who begins first is left to chance, by a seed."""
    choice = random.Random(7)
    results = []
    for n in range(ROUNDS):
        acme, run_id = pending(engine, f"m{n}")
        seen = seen_hash(engine, run_id)
        before(run_id)
        pause = f"SELECT pg_sleep({choice.random() / 100})"

        def other(
            acme: int = acme, run_id: int = run_id, seen: bytes = seen, p: str = pause
        ) -> Any:
            house.execute(engine, p)
            return against(acme, run_id, seen)

        approved, got, _ = together(
            lambda run_id=run_id, seen=seen: approve(engine, run_id, seen),
            other,
            lambda run_id=run_id: send_all(engine, run_id),
        )
        service.hand_over(engine, run_id)
        approving.cancel_drafts(engine, run_id)
        send_all(engine, run_id)
        results.append((run_id, approved, got))
    assert_whole(engine)
    return results


def test_a_rejection(engine: Engine) -> None:
    def reject(_acme: int, run_id: int, _seen: bytes) -> bool:
        try:
            with transaction(engine) as tx:
                approving.reject(tx, run_id, actor=CLEO, reason="too much")
        except NotApprovable:
            return False
        return True

    for run_id, approved, rejected in race(engine, reject):
        assert approved != rejected
        assert attempts(engine, run_id) == (2 if approved else 0)
        states = rows(engine, "SELECT DISTINCT state FROM payouts WHERE run_id = :r", r=run_id)
        assert states == [("sending" if approved else "canceled",)]


def test_an_approval_of_another_hash_and_one_by_a_third_person(engine: Engine) -> None:
    def others(_acme: int, run_id: int, seen: bytes) -> tuple[bool, bool]:
        return approve(engine, run_id, bytes(32), DAN), approve(engine, run_id, seen, CLEO)

    for run_id, approved, (wrong, third) in race(engine, others):
        assert not wrong
        assert approved != third
        assert rows(
            engine,
            "SELECT approved_by, approved_hash = members_hash FROM payout_runs WHERE id = :r",
            r=run_id,
        ) == [("ben" if approved else "cleo", True)]
        assert attempts(engine, run_id) == 2


def test_the_end_of_its_time(engine: Engine, owner: Engine) -> None:
    def ends_soon(run_id: int) -> None:
        with transaction(owner) as tx:
            tx.execute(text("ALTER TABLE payout_runs DISABLE TRIGGER keep_frozen"))
            tx.execute(
                text(
                    "UPDATE payout_runs SET approval_expires_at = clock_timestamp() + interval '8 ms'"
                    " WHERE id = :id"
                ),
                {"id": run_id},
            )
            tx.execute(text("ALTER TABLE payout_runs ENABLE TRIGGER keep_frozen"))

    def expire(_acme: int, run_id: int, _seen: bytes) -> bool:
        while scalar(
            engine,
            "SELECT approval_expires_at > clock_timestamp() FROM payout_runs WHERE id = :r",
            r=run_id,
        ):
            pass
        approving.expire(engine)
        return bool(
            scalar(
                engine, "SELECT rejected_by IS NOT NULL FROM payout_runs WHERE id = :r", r=run_id
            )
        )

    for run_id, approved, expired in race(engine, expire, before=ends_soon):
        assert approved != expired
        assert attempts(engine, run_id) == (2 if approved else 0)


def test_a_payee_who_moves(engine: Engine) -> None:
    def move(acme: int, _run_id: int, _seen: bytes) -> None:
        with transaction(engine) as tx:
            house.payee(tx, acme, "ada", "acct_elsewhere", at=JUNE + timedelta(days=1))

    for run_id, _, _ in race(engine, move):
        found = rows(
            engine,
            "SELECT p.user_id, p.state, p.destination, a.params ->> 'destination' FROM payouts p"
            " LEFT JOIN payout_attempts a ON a.payout_id = p.id WHERE p.run_id = :r ORDER BY 1",
            r=run_id,
        )
        # What was approved, or nothing: never to where nobody approved it.
        assert found[0] in (
            ("ada", "sending", "acct_ada", "acct_ada"),
            ("ada", "canceled", "acct_ada", None),
        )
        assert found[1] == ("bea", "sending", "acct_bea", "acct_bea")


def test_a_policy_that_needs_nobody_any_more(engine: Engine) -> None:
    def relax(acme: int, run_id: int, _seen: bytes) -> None:
        with transaction(engine) as tx:
            policies.put(tx, acme, "never", 72)
        # The run is opened again, as by its sweep, and is still what it was opened as.
        service.tend_runs(engine, rate=0)
        service.hand_over(engine, run_id)

    for run_id, approved, _ in race(engine, relax):
        assert approved
        assert rows(engine, "SELECT approved_by FROM payout_runs WHERE id = :r", r=run_id) == [
            ("ben",)
        ]
        assert attempts(engine, run_id) == 2


def test_without_any_approval_an_impatient_worker_sends_nothing(engine: Engine) -> None:
    _, run_id = pending(engine, "acme")
    together(*[lambda: send_all(engine, run_id)] * 4)
    assert attempts(engine, run_id) == 0
