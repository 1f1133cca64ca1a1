"""Whatever the wire does, each payout is paid at most once, by the sandbox's own books."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from domain.db import transaction
from domain.payouts.rules import Leave, Verdict
from domain.payouts.service import Recorded
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.office import ROUNDS, Office, age_everything
from workers import payouts


@pytest.fixture
def office(engine: Engine, platform: Platform) -> Office:
    platform.fund(10_000_000)
    return Office(engine, platform)


def test_a_run_is_built_sent_paid_and_settled(office: Office) -> None:
    office.owe(1_000, 2_000, 3_000)
    office.build()
    office.work_off()
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()
    assert payouts.sweep(office) == 0
    with transaction(office.engine) as tx:
        assert tx.execute(text("SELECT state FROM payout_runs")).scalar_one() == "settled"


ONCE = [
    {"fault": "drop_before"},
    {"fault": "drop_before", "how": "close"},
    {"fault": "drop_during"},
    {"fault": "drop_after"},
    {"fault": "drop_after", "how": "close"},
    {"fault": "error_500_done"},
    {"fault": "error_500_not_done", "stored": False},
    {"fault": "rate_limit"},
    {"fault": "rate_limit", "retry_after": 30},
    {"fault": "lock_timeout"},
    {"fault": "key_in_use"},
    {"fault": "unauthorized"},
    {"fault": "forbidden"},
    {"fault": "slow", "ms": 700, "when": "before"},
    {"fault": "slow", "ms": 700, "when": "after"},
    {"fault": "garbage"},
    {"fault": "garbage", "body": "{}"},
]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", ONCE, ids=lambda f: "-".join(str(v) for v in f.values()))
def test_after_any_fault_that_passes_a_payout_is_paid_once(
    office: Office, fault: dict[str, Any], times: int
) -> None:
    office.read_seconds = 0.35
    office.owe(1_000)
    office.build()
    office.platform.plan({**fault, "times": times})
    office.work_off()
    assert set(office.states().values()) == {"paid"}
    office.assert_paid_once()


def test_a_500_that_stripe_remembers_stays_unknown_and_is_never_sent_under_another_key(
    office: Office, owner: Engine
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": "error_500_not_done", "stored": True, "times": 1})
    for _ in range(5):
        for actor, args in office.messages():
            office.do(actor, args)
    assert office.states() == {payout_id: "unknown"}
    office.assert_paid_once()

    age_everything(owner, hours=24)
    posted = office.platform.posted()
    office.work_off()
    assert office.platform.posted() == posted
    assert office.states() == {payout_id: "unknown"}
    with transaction(office.engine) as tx:
        assert "person" in tx.execute(text("SELECT parked_reason FROM payouts")).scalar_one()


def test_a_dry_balance_parks_and_a_later_attempt_pays(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": "balance_dry", "times": 1})
    office.work_off()
    assert office.states() == {payout_id: "failed"}
    office.assert_paid_once()
    office.platform.fund(10_000)
    office.look_for_money()
    assert payouts.sweep(office) == 1
    office.work_off()
    assert office.states() == {payout_id: "paid"}
    [transfer] = office.platform.transfers()
    assert transfer.metadata["attempt"].endswith(f"/{payout_id}/transfer/2")
    office.assert_paid_once()


def test_a_deauthorized_account_waits_for_a_person(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": "account_deauthorized", "times": 1})
    office.work_off()
    assert office.states() == {payout_id: "failed"}
    assert payouts.sweep(office) == 0
    office.assert_paid_once()


def test_a_refused_key_opens_the_breaker_and_nothing_is_lost(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": "unauthorized", "times": 1})
    recorded = payouts.send(office, payout_id)
    assert isinstance(recorded, Recorded)
    assert recorded.verdict is Verdict.OPEN_BREAKER
    office.work_off()
    assert office.states() == {payout_id: "paid"}
    office.assert_paid_once()


@pytest.mark.parametrize(
    ("fault", "state"),
    [("drop_after", "paid"), ("drop_during", "paid"), ("drop_before", "unknown")],
)
def test_after_a_day_the_key_is_forgotten_and_a_payout_is_looked_up_not_sent(
    office: Office, owner: Engine, fault: str, state: str
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": fault, "times": 1})
    payouts.send(office, payout_id)
    assert office.states() == {payout_id: "unknown"}
    # Both sides grow a day older: the sandbox now executes the same key anew.
    office.platform.stripe.admin("POST", "clock", advance_seconds=25 * 3600)
    age_everything(owner, hours=25)
    office.work_off()
    assert office.platform.posted() == 1
    assert office.states() == {payout_id: state}
    office.assert_paid_once()


def test_of_eight_senders_one_posts(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan()
    gate = threading.Barrier(8)

    def send() -> Recorded | Leave:
        gate.wait(20)
        return payouts.send(office, payout_id)

    with ThreadPoolExecutor(8) as pool:
        got = [f.result(20) for f in [pool.submit(send) for _ in range(8)]]
    assert sum(isinstance(g, Recorded) for g in got) == 1
    assert office.platform.posted() == 1
    office.assert_paid_once()


def test_of_eight_resolvers_at_a_time_one_asks(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": "drop_after", "times": 1}, {"fault": "slow", "ms": 300})
    payouts.send(office, payout_id)
    [(_, args)] = [m for m in office.messages() if m[0] == "payouts.resolve"]
    gate = threading.Barrier(8)

    def resolve() -> Recorded | Leave:
        gate.wait(20)
        return payouts.resolve(office, **args)

    with ThreadPoolExecutor(8) as pool:
        got = [f.result(20) for f in [pool.submit(resolve) for _ in range(8)]]
    assert sum(isinstance(g, Recorded) for g in got) == 1
    assert office.platform.posted() == 2
    assert office.states() == {payout_id: "paid"}
    office.assert_paid_once()


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


def died_everywhere(office: Office, prepare: Callable[[int], Callable[[], object]]) -> int:
    """Let a call die at its 1st, 2nd, … statement, each for a payout of its own; returns how many."""
    for n in count(1):
        office.owe(1_000 + n)
        [payout_id] = office.build(f"run {n}")
        office.messages()
        call = prepare(payout_id)
        try:
            with dying_at(office.engine, n):
                call()
        except Killed:
            continue
        return n - 1
    raise AssertionError


def redeliver(office: Office) -> None:
    """Every message again, those of a dead worker included, before and after its lease ran out."""
    for _ in range(2):
        for payout_id in office.states():
            payouts.send(office, payout_id)
        office.give_up_leases()
    for payout_id in office.states():
        payouts.send(office, payout_id)
    office.work_off()


def test_a_sender_that_dies_at_any_statement_has_paid_once_in_the_end(office: Office) -> None:
    died = died_everywhere(office, lambda payout_id: lambda: payouts.send(office, payout_id))
    assert died > 8
    redeliver(office)
    assert Counter(office.states().values()) == {"paid": died + 1}
    office.assert_paid_once()


def test_a_resolver_that_dies_at_any_statement_has_paid_once_in_the_end(office: Office) -> None:
    def unknown(payout_id: int) -> Callable[[], object]:
        office.platform.plan({"fault": "drop_after", "times": 1})
        payouts.send(office, payout_id)
        [(_, args)] = [m for m in office.messages() if m[0] == "payouts.resolve"]
        return lambda: payouts.resolve(office, **args)

    died = died_everywhere(office, unknown)
    assert died > 10
    office.give_up_leases()
    office.execute("UPDATE payouts SET look_at = now() WHERE look_at IS NOT NULL")
    assert payouts.sweep(office) > 0
    office.work_off()
    assert Counter(office.states().values()) == {"paid": died + 1}
    office.assert_paid_once()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_mixture_of_faults_workers_and_doubled_messages_pays_each_once(
    office: Office, seed: int
) -> None:
    office.read_seconds = 0.25
    office.owe(*range(1_000, 1_040))
    office.build()
    kinds = [
        *({"fault": f} for f in ("drop_before", "drop_during", "drop_after", "error_500_done")),
        *(
            {"fault": f}
            for f in ("rate_limit", "lock_timeout", "key_in_use", "garbage", "unauthorized")
        ),
        {"fault": "error_500_not_done", "stored": False},
        {"fault": "slow", "ms": 400, "when": "before"},
    ]
    office.platform.plan(*({**kind, "probability": 0.08} for kind in kinds), seed=seed)
    choice = random.Random(seed)
    with ThreadPoolExecutor(6) as pool:
        for turn in range(ROUNDS):
            if turn == 6:
                office.platform.plan()
            if turn > 6:
                time.sleep(0.05)
            messages = office.messages() * 2
            if not messages:
                break
            choice.shuffle(messages)
            for done in [pool.submit(office.do, *message) for message in messages]:
                done.result(60)
    assert Counter(office.states().values()) == {"paid": 40}
    office.assert_paid_once()
