"""The payout actors, run as their fires are, on the real servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.earnings import service as earnings
from domain.schedules import service as schedules
from domain.schedules.rules import Every
from domain.schedules.service import Schedule
from queues import Pause, Pauses
from tests.domain.payouts.house import JUNE, earning, merchant, payee
from workers import payout_actors, payouts
from workers.context import Runtime

NAME = "payouts.sweep"


class Unread:
    """A log that nobody reads."""

    def paused(self, queue: str, reason: str) -> None:
        """Nothing."""

    def resumed(self, queue: str, pause: Pause) -> None:
        """Nothing."""


@pytest.fixture
def rt(engine: Engine, redis_url: str, namespace: str) -> Iterator[Runtime]:
    def none(*_: Any) -> Any:
        raise AssertionError("not needed here")

    with redis.Redis.from_url(redis_url) as client:
        yield Runtime(engine, client, namespace, none, none, sandbox=True)


@pytest.fixture
def stuck(rt: Runtime) -> None:
    """A payout whose message was lost."""
    with transaction(rt.engine) as tx:
        merchant_id = merchant(tx)
        payee(tx, merchant_id)
        earnings.record(tx, [earning(merchant_id, 1_000)])
        schedules.register(tx, Schedule(NAME, "sweeps", NAME, Every(5)))
    payouts.build(rt, merchant_id, "run", JUNE)
    with transaction(rt.engine) as tx:
        tx.execute(text("DELETE FROM outbox"))
        tx.execute(text("UPDATE payouts SET look_at = now()"))


def asked_by_a_sweep(rt: Runtime) -> int:
    with transaction(rt.engine) as tx:
        fire_at = schedules.run_now(tx, NAME)
        tx.execute(text("DELETE FROM outbox"))
    payout_actors.sweep_stuck(rt, NAME, fire_at.isoformat())
    with transaction(rt.engine) as tx:
        return tx.execute(
            text("SELECT count(*) FROM outbox WHERE actor = 'payouts.send'")
        ).scalar_one()


def test_the_sweep_asks_for_nothing_while_payouts_are_paused(rt: Runtime, stuck: None) -> None:
    pauses = Pauses(rt.redis, rt.namespace)
    pauses.pause("payouts", by="ada", reason="the bank calls", log=Unread())
    assert asked_by_a_sweep(rt) == 0
    pauses.resume("payouts", log=Unread())
    assert asked_by_a_sweep(rt) == 1
