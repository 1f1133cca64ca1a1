from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.errors import Retry
from sqlalchemy import Engine, text

from domain.db import transaction
from queues import DelayRefused, LivenessSettings, PayspoolBroker, enqueue
from queues.inspect import inspect
from queues.retries import RetryPolicy
from tests.queues.support import wait_until

Serve = Callable[..., None]


@pytest.fixture
def broker(url: str) -> PayspoolBroker:
    return PayspoolBroker(url, liveness=LivenessSettings(beat=0.4, timeout=1.6, sweep=0.2))


@pytest.fixture
def serve(broker: PayspoolBroker) -> Iterator[Serve]:
    """Starts a worker in this process."""
    workers: list[dramatiq.Worker] = []

    def start(threads: int = 1) -> None:
        worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=50)
        worker.queue_prefetch = threads
        worker.start()
        workers.append(worker)

    yield start
    for worker in workers:
        worker.stop(timeout=5000)
    broker.close()


def declare(broker: PayspoolBroker, work: Callable[..., None], **options: Any) -> dramatiq.Actor:
    return dramatiq.actor(
        work, broker=broker, queue_name="payouts", actor_name="payouts.send", **options
    )


def dead(client: redis.Redis) -> list[bytes]:
    return client.zrange("payspool:payouts.XQ", 0, -1)


def test_messages_reach_their_actor_in_order_and_leave_nothing_behind(
    client: redis.Redis, broker: PayspoolBroker, serve: Serve
) -> None:
    got: list[int] = []
    actor = declare(broker, got.append)
    for i in range(20):
        actor.send(i)
    serve()
    broker.join("payouts", interval=10, timeout=5000)
    assert got == list(range(20))
    assert not client.exists("payspool:payouts.msgs", "payspool:payouts")


def test_a_failed_message_is_tried_again_after_its_backoff_and_then_is_done(
    client: redis.Redis, broker: PayspoolBroker, serve: Serve
) -> None:
    times: list[float] = []

    def work() -> None:
        times.append(time.monotonic())
        if len(times) < 3:
            raise RuntimeError("not yet")

    declare(broker, work, min_backoff=100).send()
    serve()
    broker.join("payouts", interval=10, timeout=5000)
    assert len(times) == 3
    assert times[1] - times[0] >= 0.1
    assert times[2] - times[1] >= 0.2
    assert dead(client) == []
    assert not client.exists("payspool:payouts.tries", "payspool:payouts.later")


def test_a_retry_lets_others_pass(broker: PayspoolBroker, serve: Serve) -> None:
    got: list[str] = []

    def work(name: str) -> None:
        got.append(name)
        if got.count("a") == 1 and name == "a":
            raise RuntimeError("not yet")

    actor = declare(broker, work, min_backoff=500)
    actor.send("a")
    actor.send("b")
    serve()
    broker.join("payouts", interval=10, timeout=5000)
    assert got == ["a", "b", "a"]


def test_after_the_last_retry_a_message_is_a_dead_letter_with_its_trace(
    client: redis.Redis, broker: PayspoolBroker, serve: Serve
) -> None:
    tries: list[int] = []

    def work(number: int) -> None:
        tries.append(number)
        raise RuntimeError("for ever")

    sent = declare(broker, work, max_retries=2, min_backoff=10).send(7)
    serve()
    wait_until(lambda: dead(client))
    assert tries == [7, 7, 7]
    (dead_id,) = dead(client)
    assert dead_id.decode() == sent.options["redis_message_id"]
    assert json.loads(client.hget("payspool:payouts.XQ.msgs", dead_id))["args"] == [7]
    assert b"RuntimeError: for ever" in client.hget("payspool:payouts.XQ.errors", dead_id)
    assert client.hlen("payspool:payouts.msgs") == 0
    assert not client.exists("payspool:payouts.tries")


def test_a_dead_letters_trace_does_not_quote_a_row(
    client: redis.Redis, broker: PayspoolBroker, serve: Serve, engine: Engine
) -> None:
    private = "jane@private.example"

    def work(number: int) -> None:
        with transaction(engine) as tx:
            tx.execute(text("CREATE TEMPORARY TABLE people (name text CHECK (name = ''))"))
            tx.execute(text("INSERT INTO people VALUES (:name)"), {"name": private})

    declare(broker, work, max_retries=0).send(7)
    serve()
    wait_until(lambda: dead(client))
    trace = client.hget("payspool:payouts.XQ.errors", dead(client)[0])
    assert b'violates check constraint "people_name_check"' in trace
    assert private.encode() not in trace


def test_an_expected_exception_is_a_dead_letter_at_once(
    client: redis.Redis, broker: PayspoolBroker, serve: Serve
) -> None:
    def work() -> None:
        raise KeyError("unpayable")

    declare(broker, work, throws=KeyError).send()
    serve()
    wait_until(lambda: dead(client))


def test_an_actor_may_say_when_to_try_again(broker: PayspoolBroker, serve: Serve) -> None:
    times: list[float] = []

    def work() -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            raise Retry("soon", delay=300)

    declare(broker, work, min_backoff=60_000).send()
    serve()
    broker.join("payouts", interval=10, timeout=5000)
    assert 0.3 <= times[1] - times[0] < 1.5


def test_a_message_for_an_actor_that_is_not_declared_here_is_kept_for_one_that_is(
    client: redis.Redis, broker: PayspoolBroker, serve: Serve
) -> None:
    broker.declare_queue("payouts")
    enqueue(client, "payouts", "payouts.newer", [1])
    serve()
    wait_until(lambda: client.zcard("payspool:payouts.later") == 1)
    (state,) = inspect(client, "payspool", ["payouts"])
    assert (state.ready, state.in_flight, state.later, state.dead) == (0, 0, 1, 0)
    assert not state.idle


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        b"[]",
        b"{}",
        b'{"queue_name":"payouts","actor_name":"a","args":[],"kwargs":{},"options":null,'
        b'"message_id":"m","message_timestamp":1}',
        b'{"queue_name":"payouts","actor_name":null,"args":[],"kwargs":{},"options":{},'
        b'"message_id":"m","message_timestamp":1}',
    ],
)
def test_an_undecodable_message_is_a_dead_letter_with_its_bytes(
    client: redis.Redis, broker: PayspoolBroker, serve: Serve, raw: bytes
) -> None:
    got: list[int] = []
    actor = declare(broker, got.append)
    client.hset("payspool:payouts.msgs", "poison", raw)
    client.rpush("payspool:payouts", "poison")
    actor.send(1)
    serve()
    broker.join("payouts", interval=10, timeout=5000)
    assert got == [1]
    assert client.hgetall("payspool:payouts.XQ.msgs") == {b"poison": raw}


def test_a_message_that_names_another_queue_is_processed_where_it_lies(
    client: redis.Redis, broker: PayspoolBroker, serve: Serve
) -> None:
    got: list[int] = []
    declare(broker, got.append)
    message = {
        **{"queue_name": "elsewhere", "actor_name": "payouts.send", "args": [1], "kwargs": {}},
        **{"options": {"eta": 9_999_999_999_999}, "message_id": "m", "message_timestamp": 1},
    }
    client.hset("payspool:payouts.msgs", "x", json.dumps(message))
    client.rpush("payspool:payouts", "x")
    serve()
    broker.join("payouts", interval=10, timeout=5000)
    assert got == [1]


def test_no_more_is_held_than_there_are_threads(
    client: redis.Redis, broker: PayspoolBroker, serve: Serve
) -> None:
    release = threading.Event()
    actor = declare(broker, lambda: release.wait(10) and None)
    for _ in range(10):
        actor.send()
    serve(threads=3)
    time.sleep(0.5)
    (state,) = inspect(client, "payspool", ["payouts"])
    release.set()
    assert (state.ready, state.in_flight) == (7, 3)


def test_a_delay_is_refused(broker: PayspoolBroker) -> None:
    actor = declare(broker, lambda: None)
    with pytest.raises(DelayRefused, match="run_at"):
        actor.send_with_options(delay=1000)


def test_backoff_doubles_to_its_maximum() -> None:
    policy = RetryPolicy(max_retries=None, min_backoff=100, max_backoff=1000)
    waits = [policy.backoff(tries, RuntimeError()) or 0 for tries in range(10)]
    assert 0.1 <= waits[0] <= 0.2
    assert 0.2 <= waits[1] <= 0.4
    assert all(0.5 <= wait <= 1.0 for wait in waits[5:])
