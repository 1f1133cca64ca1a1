"""The payout actors, run as their fires are, on the real servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import transaction
from domain.dead_letters import service as dead_letters
from domain.earnings import service as earnings
from domain.merchants import service as merchants
from domain.payouts import service as payout_service
from domain.payouts.errors import NoSuchPayout
from domain.schedules import service as schedules
from domain.schedules.rules import Every
from domain.schedules.service import Schedule
from payspool.installing import returns_schedule
from queues import DeadLetter, Outgoing, Pause, Pauses, enqueue_many
from tests.domain.payouts.house import (
    JUNE,
    SUCCESS,
    begin,
    earning,
    merchant,
    one_payout,
    payee,
    record,
)
from workers import notice_actors, payout_actors, payouts
from workers.context import Runtime
from workers.dead_letters import SqlDeadLetters, put_back

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
        yield Runtime(engine, client, namespace, none, sandbox=True)


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
        return tx.execute(text("SELECT count(*) FROM outbox WHERE queue = 'payouts'")).scalar_one()


def look_now(rt: Runtime) -> None:
    """As if the backoff were over."""
    with transaction(rt.engine) as tx:
        tx.execute(text("UPDATE payouts SET look_at = now() WHERE look_at IS NOT NULL"))


def parked(rt: Runtime) -> str | None:
    with transaction(rt.engine) as tx:
        found: str | None = tx.execute(text("SELECT parked_reason FROM payouts")).scalar_one()
        return found


def test_the_sweep_asks_once_per_backoff_which_doubles(rt: Runtime, stuck: None) -> None:
    waits = []
    for _ in range(3):
        assert asked_by_a_sweep(rt) == 1
        assert asked_by_a_sweep(rt) == 0, "it was asked just now"
        with transaction(rt.engine) as tx:
            waits.append(tx.execute(text("SELECT look_at - emitted_at FROM payouts")).scalar_one())
        look_now(rt)
    assert [round(wait.total_seconds() / 60) for wait in waits] == [5, 10, 20]


@pytest.mark.parametrize("actor", ["payouts.send", "payouts.resolve"])
def test_nobody_asks_for_a_payout_whose_message_died_until_a_person_retries_it(
    rt: Runtime, stuck: None, actor: str
) -> None:
    with transaction(rt.engine) as tx:
        payout_id = tx.execute(text("SELECT id FROM payouts")).scalar_one()
    args = {"payout_id": payout_id}
    if actor == "payouts.resolve":
        args = {"attempt_id": begin(rt.engine, payout_id).attempt_id}
        look_now(rt)
    message = Outgoing("payouts", actor, kwargs=args)
    (redis_id,) = enqueue_many(rt.redis, [message], namespace=rt.namespace)
    (raw,) = rt.redis.hvals(f"{rt.namespace}:payouts.msgs")
    letter = DeadLetter.of("payouts", redis_id, raw, "killed its worker", attempts=3, deaths=3)
    SqlDeadLetters(rt.engine).record(letter)
    assert asked_by_a_sweep(rt) == 0
    look_now(rt)
    assert asked_by_a_sweep(rt) == 0
    assert "payspool dead list" in (parked(rt) or "")

    with transaction(rt.engine) as tx:
        dead_letters.retry(tx, [1], Actor("person", "ada"), put_back(rt, tx))
    assert parked(rt) is None
    assert asked_by_a_sweep(rt) == 0, "its message is on the queue"
    look_now(rt)
    assert asked_by_a_sweep(rt) == 1, "should that be lost, too"


def test_the_sweep_asks_for_nothing_while_payouts_are_paused(rt: Runtime, stuck: None) -> None:
    pauses = Pauses(rt.redis, rt.namespace)
    pauses.pause("payouts", by="ada", reason="the bank calls", log=Unread())
    assert asked_by_a_sweep(rt) == 0
    pauses.resume("payouts", log=Unread())
    assert asked_by_a_sweep(rt) == 1


def test_nobody_asks_for_a_reversal_whose_message_died_until_a_person_retries_it(
    rt: Runtime,
) -> None:
    payout_id = one_payout(rt.engine)
    record(rt.engine, begin(rt.engine, payout_id), SUCCESS)
    with transaction(rt.engine) as tx:
        schedules.register(tx, Schedule(NAME, "sweeps", NAME, Every(5)))
        merchant_id = tx.execute(text("SELECT id FROM merchants")).scalar_one()
        request_id = payout_service.request_reversal(
            tx, merchant_id, payout_id, amount=None, reason="so", actor=Actor("person", "ada")
        ).request_id
    message = Outgoing("payouts", "payouts.reverse", kwargs={"request_id": request_id})
    (redis_id,) = enqueue_many(rt.redis, [message], namespace=rt.namespace)
    (raw,) = rt.redis.hvals(f"{rt.namespace}:payouts.msgs")
    letter = DeadLetter.of("payouts", redis_id, raw, "killed its worker", attempts=3, deaths=3)
    SqlDeadLetters(rt.engine).record(letter)
    look = text("UPDATE reversal_requests SET look_at = now() WHERE look_at IS NOT NULL")
    with transaction(rt.engine) as tx:
        tx.execute(look)
    assert asked_by_a_sweep(rt) == 0
    with transaction(rt.engine) as tx:
        dead_letters.retry(tx, [1], Actor("person", "ada"), put_back(rt, tx))
        assert tx.execute(text("SELECT waits_for FROM reversal_requests")).scalar_one() is None
        tx.execute(look)
    assert asked_by_a_sweep(rt) == 1, "should that be lost, too"


def test_a_fire_of_the_poll_waits_for_a_merchant_without_an_account(rt: Runtime) -> None:
    def none(merchant_id: int, method: str) -> Any:
        raise NoSuchPayout("account", merchant_id)

    name = "webhooks.poll/acme"
    with transaction(rt.engine) as tx:
        acme = merchant(tx)
        schedules.register(
            tx, Schedule(name, "sweeps", "webhooks.poll", Every(600), {"merchant_id": acme}, acme)
        )
        fire_at = schedules.run_now(tx, name)
    notice_actors.poll(replace(rt, gateways=none), name, fire_at.isoformat(), acme)
    with transaction(rt.engine) as tx:
        did = tx.execute(text("SELECT state, progress FROM schedule_fires")).one()
    assert (did.state, "There is no account" in did.progress["waits"]) == ("done", True)


def test_a_fire_that_looks_for_returns_waits_for_a_merchant_without_an_account(
    rt: Runtime,
) -> None:
    def none(merchant_id: int, method: str) -> Any:
        raise NoSuchPayout("account", merchant_id)

    name = "payouts.returns/acme"
    with transaction(rt.engine) as tx:
        acme = merchant(tx)
        returns_schedule(tx, merchants.get(tx, "acme"))
        fire_at = schedules.run_now(tx, name)
    payout_actors.look_for_returns(replace(rt, gateways=none), name, fire_at.isoformat(), acme, 45)
    with transaction(rt.engine) as tx:
        did = tx.execute(text("SELECT state, progress FROM schedule_fires")).one()
    assert (did.state, "There is no account" in did.progress["waits"]) == ("done", True)
