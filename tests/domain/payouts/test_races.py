"""Builders, writers and senders at the same time, and builders that die: the money stays whole."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from domain.db import transaction
from domain.earnings import service as earnings
from domain.payouts import service
from domain.payouts.errors import NotCancelable
from domain.payouts.rules import EMPTY_RUN_HASH, Leave, extend_run_hash
from domain.payouts.service import Attempt, RunSpec
from tests.domain.payouts import house
from tests.domain.payouts.house import (
    JUNE,
    PAPER,
    assert_whole,
    earn,
    earning,
    merchant,
    one_payout,
    payee,
    rows,
    scalar,
)

PATIENCE = 30.0
"""Seconds after which a thread of a test counts as stuck."""


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls at the same moment, each in a thread; returns their results in order."""
    gate = threading.Barrier(len(calls))

    def begin(call: Callable[[], Any]) -> Any:
        gate.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(PATIENCE) for future in [pool.submit(begin, c) for c in calls]]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of a few accounts, so that builders meet often."""
    monkeypatch.setattr("domain.payouts.service.claiming.SHARD", 3)
    monkeypatch.setattr("domain.payouts.service.building.SHARD", 3)


@pytest.mark.usefixtures("small_shards")
def test_runs_at_the_same_time_never_claim_an_earning_twice(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for n in range(20):
            payee(tx, acme, f"u{n}", f"acct_{n}")
        earnings.record(tx, [earning(acme, 100 + i, f"u{n}") for n in range(20) for i in range(5)])
    # Two runs of their own names, and one that is built by two builders at once.
    together(*(lambda name=name: house.run(engine, acme, name) for name in ("a", "b", "c", "c")))

    assert scalar(engine, "SELECT count(*) FROM earnings WHERE payout_id IS NULL") == 0
    assert scalar(engine, "SELECT sum(amount) FROM payouts") == scalar(
        engine, "SELECT sum(amount) FROM earnings"
    )
    assert rows(engine, "SELECT user_id FROM payouts GROUP BY user_id HAVING count(*) > 1") == []
    assert scalar(engine, "SELECT count(*) FROM outbox") == 20
    assert_whole(engine)


@pytest.mark.usefixtures("small_shards")
def test_no_credit_is_paid_without_a_debit_that_was_there_before_its_run_began(
    engine: Engine,
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for n in range(6):
            payee(tx, acme, f"u{n}", f"acct_{n}")
    there_since: dict[int, float] = {}
    begun: dict[str, float] = {}
    ends = time.monotonic() + 2.5

    def write(seed: int) -> None:
        choice = random.Random(seed)
        credits: list[tuple[str, int]] = []
        while time.monotonic() < ends:
            user = f"u{choice.randrange(6)}"
            with transaction(engine) as tx:
                credits.append((user, earn(tx, acme, 1_000, user)))
            if choice.random() < 0.7:
                owner, credit = choice.choice(credits)
                with transaction(engine) as tx:
                    debit = earn(tx, acme, -choice.randrange(1, 400), owner, reverses=credit)
                there_since[debit] = time.monotonic()

    def build(name: str) -> None:
        for n in count():
            if time.monotonic() > ends:
                return
            begun[f"{name}{n}"] = time.monotonic()
            house.run(engine, acme, f"{name}{n}")

    together(lambda: write(1), lambda: write(2), lambda: build("a"), lambda: build("b"))

    # Each credit in a payout, beside each debit of it and the payout where that debit is.
    pairs = rows(
        engine,
        """
        SELECT d.id, d.payout_id, c.payout_id, r.name
        FROM earnings d JOIN earnings c ON c.id = d.reverses_id
        JOIN payouts p ON p.id = c.payout_id JOIN payout_runs r ON r.id = p.run_id
        """,
    )
    left_behind = [
        debit
        for debit, of_debit, of_credit, run in pairs
        if there_since[debit] < begun[run] and (of_debit is None or of_debit > of_credit)
    ]
    assert len(pairs) > 5, "the test has something to look at"
    assert left_behind == []
    assert_whole(engine)


def test_a_claim_waits_for_a_refund_that_is_being_written(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        credit = earn(tx, acme, 1_000)
    written, looked = threading.Event(), threading.Event()

    def refund() -> None:
        with transaction(engine) as tx:
            earn(tx, acme, -400, reverses=credit)
            written.set()
            assert looked.wait(PATIENCE)

    def build() -> service.RunResult:
        assert written.wait(PATIENCE)
        spec = RunSpec(acme, "run", JUNE)
        return service.build_run(engine, spec, on_progress=lambda _: looked.set())

    [_, result] = together(refund, build)
    assert result.by_currency == {"usd": {"payouts": 1, "amount": 600}}
    assert_whole(engine)


def test_a_hold_that_comes_between_the_decision_and_the_claim_is_kept(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        held = earn(tx, acme, 1_000)
        earn(tx, acme, -100, reverses=held)
        earn(tx, acme, 300)
    claim = earnings.claim
    tries = []

    def hold_first(*args: Any) -> Any:
        tries.append(1)
        house.execute(
            engine, "UPDATE earnings SET held_at = now(), hold_reason = 'h' WHERE id = :id", id=held
        )
        return claim(*args)

    monkeypatch.setattr(earnings, "claim", hold_first)
    assert house.run(engine, acme).by_currency == {"usd": {"payouts": 1, "amount": 300}}
    assert len(tries) == 2
    assert_whole(engine)


def test_of_eight_senders_one_mints_a_key(engine: Engine) -> None:
    payout_id = one_payout(engine)

    def begin() -> Attempt | Leave:
        with transaction(engine) as tx:
            return service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)

    got = together(*[begin] * 8)
    assert [type(g) for g in got].count(Attempt) == 1
    assert got.count(Leave("leased")) == 7
    assert scalar(engine, "SELECT count(*) FROM payout_attempts") == 1


def test_of_a_cancel_and_a_send_one_wins(engine: Engine) -> None:
    for n in range(10):
        with transaction(engine) as tx:
            acme = merchant(tx, f"m{n}")
            payee(tx, acme)
            earn(tx, acme, 500)
        house.run(engine, acme)
        payout_id = scalar(engine, "SELECT max(id) FROM payouts")

        def begin(payout_id: int = payout_id) -> Attempt | Leave:
            with transaction(engine) as tx:
                return service.begin_first_attempt(tx, service.frozen(tx, payout_id), PAPER)

        def cancel(payout_id: int = payout_id) -> str:
            try:
                with transaction(engine) as tx:
                    service.cancel(tx, payout_id, reason="race")
            except NotCancelable:
                return "sent"
            return "canceled"

        sent, canceled = together(begin, cancel)
        assert (sent == Leave("canceled")) == (canceled == "canceled")
    assert_whole(engine)


class Killed(BaseException):
    """The process died here."""


@contextmanager
def dying_at(engine: Engine, statement: int) -> Iterator[None]:
    """Raise before the nth statement or commit from now on."""
    seen = count(1)

    def die(*_: Any) -> None:
        if next(seen) == statement:
            raise Killed

    event.listen(engine, "before_cursor_execute", die)
    event.listen(engine, "commit", die)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", die)
        event.remove(engine, "commit", die)


MADE = """
SELECT p.user_id, p.currency, p.amount, p.members, p.state, count(o.id)
FROM payouts p LEFT JOIN outbox o ON o.args = jsonb_build_object('payout_id', p.id)
WHERE p.merchant_id = :merchant GROUP BY p.id ORDER BY p.user_id, p.currency
"""


@pytest.mark.usefixtures("small_shards")
def test_a_run_killed_at_any_statement_ends_in_the_same_payouts(engine: Engine) -> None:
    def prepared(key: str) -> RunSpec:
        with transaction(engine) as tx:
            made = merchant(tx, key)
            for n in range(5):
                payee(tx, made, f"u{n}", f"acct_{n}")
            earnings.record(tx, [earning(made, 100 * i, f"u{n}") for n in range(5) for i in (1, 2)])
            earn(tx, made, 7, "u0", currency="eur")
        return RunSpec(made, "run", JUNE, {"eur": 10})

    whole = prepared("whole")
    expected_result = service.build_run(engine, whole)
    expected = rows(engine, MADE, merchant=whole.merchant_id)
    assert len(expected) == 5

    for n in count(1):
        spec = prepared(f"killed-{n}")
        try:
            with dying_at(engine, n):
                service.build_run(engine, spec)
        except Killed:
            result = service.build_run(engine, spec)
            assert rows(engine, MADE, merchant=spec.merchant_id) == expected, f"killed at {n}"
            assert (result.created, result.reasons) == (5, expected_result.reasons), (
                f"killed at {n}"
            )
            continue
        break
    assert n > 50, "the run has that many places to die at"
    assert_whole(engine)


@pytest.mark.usefixtures("small_shards")
def test_a_run_that_died_twice_is_finished_by_several_builders(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for n in range(12):
            payee(tx, acme, f"u{n}", f"acct_{n}")
        earnings.record(tx, [earning(acme, 100, f"u{n}") for n in range(12)])
    for statement in (25, 60):
        with pytest.raises(Killed), dying_at(engine, statement):
            house.run(engine, acme)
    results = together(*[lambda: house.run(engine, acme)] * 3)
    assert {r.created for r in results} == {12}
    assert scalar(engine, "SELECT count(*) FROM outbox") == 12
    assert_whole(engine)


def test_the_hash_of_a_run_can_be_computed_again_from_its_payouts(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for n in range(5):
            payee(tx, acme, f"u{n}", f"acct_{n}")
            earn(tx, acme, 100 + n, f"u{n}")
    house.run(engine, acme)
    with transaction(engine) as tx:
        stored = tx.execute(text("SELECT members_hash FROM payout_runs")).scalar_one()
        made = tx.execute(text("SELECT id, members_hash FROM payouts ORDER BY id")).all()
    assert bytes(stored) == extend_run_hash(EMPTY_RUN_HASH, [(i, bytes(h)) for i, h in made])
