"""Payouts are sent at the rate of their account, and nobody waits for another account's turn."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import pytest
import redis
from dramatiq.errors import ConnectionClosed
from sqlalchemy import Engine, text

from domain.db import transaction
from domain.payouts.gateway import Gateway
from domain.payouts.rules import GatewayOutcome, Leave
from domain.payouts.service import Recorded
from queues.bucket import Bucket, Turn
from queues.connection import connect
from tests.workers.gateways.local_stripe import LocalStripe, Platform
from tests.workers.payouts.office import Office
from workers import payouts

RATE = 25


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as made:
        yield made


@pytest.fixture
def office(engine: Engine, platform: Platform) -> Office:
    platform.fund(10_000_000)
    return Office(engine, platform)


@dataclass
class Fixed:
    """Answers what it is told to."""

    answer: Turn | Exception
    rate: float = RATE
    asked: list[str] = field(default_factory=list)

    def take(self, name: str) -> Turn:
        self.asked.append(name)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def waits(office: Office) -> list[tuple[str, float]]:
    """What the outbox asks for, and in how many seconds."""
    with transaction(office.engine) as tx:
        rows = tx.execute(
            text(
                "SELECT actor, extract(epoch FROM run_at - created_at)::float8 AS wait FROM outbox"
            )
        )
        return [(row.actor, row.wait) for row in rows]


def test_a_payout_whose_turn_is_far_away_is_put_off_without_an_attempt(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.messages()
    office.pace = pace = Fixed(Turn(5.0, reserved=False))
    began = time.monotonic()
    assert payouts.send(office, payout_id) == Leave("put_off")
    assert time.monotonic() - began < 2, "nobody sleeps for it"
    assert pace.asked == [f"stripe.{office.platform.account_id}"]
    [(actor, wait)] = waits(office)
    assert actor == "payouts.send"
    assert wait == pytest.approx(5, abs=0.5)
    assert office.states() == {payout_id: "approved"}
    with transaction(office.engine) as tx:
        assert tx.execute(text("SELECT count(*) FROM payout_attempts")).scalar_one() == 0
        looked_at = "SELECT look_at > now() + interval '30 minutes' FROM payouts"
        assert tx.execute(text(looked_at)).scalar_one(), "nor is it taken for lost meanwhile"

    office.pace = Fixed(Turn(0.0))
    office.work_off()
    assert office.states() == {payout_id: "paid"}


def test_a_message_that_comes_again_for_a_paid_payout_is_not_put_off_for_ever(
    office: Office,
) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.work_off()
    office.pace = Fixed(Turn(5.0, reserved=False))
    assert payouts.send(office, payout_id) == Leave("put_off")
    assert office.messages() == []


def test_a_replay_takes_a_turn_too(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.platform.plan({"fault": "drop_after", "times": 1})
    payouts.send(office, payout_id)
    [(_, args)] = [m for m in office.messages() if m[0] == "payouts.resolve"]
    posted = office.platform.posted()
    office.pace = Fixed(Turn(5.0, reserved=False))
    assert payouts.resolve(office, **args) == Leave("put_off")
    assert office.platform.posted() == posted
    assert [actor for actor, _ in waits(office)] == ["payouts.resolve"]

    office.pace = Fixed(Turn(0.0))
    office.work_off()
    office.assert_paid_once()


def test_while_nobody_can_tell_whose_turn_it_is_payouts_go_on(office: Office) -> None:
    office.owe(1_000)
    [payout_id] = office.build()
    office.pace = Fixed(ConnectionClosed("away"))  # type: ignore[no-untyped-call]
    office.work_off()
    assert office.states() == {payout_id: "paid"}
    office.assert_paid_once()


def test_a_run_is_handed_over_at_the_rate_and_taken_for_lost_only_after_it(office: Office) -> None:
    office.owe(*range(1_000, 1_050))
    office.pace = Fixed(Turn(0.0))
    office.build()
    asked = sorted(wait for _, wait in waits(office))
    assert asked[0] == pytest.approx(0, abs=0.1)
    assert asked[-1] == pytest.approx(49 / RATE, abs=0.1)
    with transaction(office.engine) as tx:
        lost = tx.execute(text("SELECT min(look_at) - now() FROM payouts")).scalar_one()
    assert lost.total_seconds() > 1_800 + 49 / RATE


def test_two_accounts_at_a_time_have_a_rate_each(
    office: Office, local_stripe: LocalStripe, client: redis.Redis, namespace: str
) -> None:
    pace = Bucket(client, namespace, RATE)
    other = local_stripe.platform()
    for _ in range(RATE * 2):
        pace.take(f"stripe.{other.account_id}")
    office.pace = pace
    office.owe(1_000)
    [payout_id] = office.build()
    assert isinstance(payouts.send(office, payout_id), Recorded)
    other.close()


class Timed:
    """A gateway that notes when each send begins."""

    def __init__(self, gateway: Gateway, began: list[float]) -> None:
        self._gateway, self._began = gateway, began

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    def send(self, *args: Any, **more: Any) -> GatewayOutcome:
        self._began.append(time.monotonic())
        return self._gateway.send(*args, **more)


@dataclass
class TimedOffice(Office):
    """A worker whose sends are timed."""

    began: list[float] = field(default_factory=list)

    def gateways(self, merchant_id: int, method: str) -> Gateway:
        return Timed(super().gateways(merchant_id, method), self.began)


def test_eight_workers_send_one_run_without_going_over_the_limit_each_payout_once(
    office: Office, client: redis.Redis, namespace: str
) -> None:
    office.owe(*range(1_000, 1_120))
    ids = office.build()
    office.messages()
    office.platform.plan()
    began: list[float] = []
    twice = iter(ids * 2)
    lock = Lock()

    def work(_worker: int) -> None:
        worker = TimedOffice(office.engine, office.platform, office.merchant_id, began=began)
        worker.pace = Bucket(client, namespace, RATE)
        while True:
            with lock:
                payout_id = next(twice, None)
            if payout_id is None:
                return
            payouts.send(worker, payout_id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert Counter(office.states().values()) == {"paid": 120}
    assert office.platform.posted() == len(began) == 120, "none was turned away and sent again"
    office.assert_paid_once()
    with transaction(office.engine) as tx:
        highest = tx.execute(text("SELECT max(tries), max(n) FROM payout_attempts")).one()
    assert tuple(highest) == (1, 1)
    for first in began:
        in_a_second = sum(first <= moment < first + 1 for moment in began)
        assert in_a_second <= RATE + 8, "each worker may be some ms late for the turn that it took"
