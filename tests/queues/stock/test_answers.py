"""Answers that are not expected: what stock Dramatiq makes of them, and what we make of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed

from queues import LivenessSettings, PayspoolBroker
from queues.connection import connect
from queues.consumer import Access
from queues.keys import QueueKeys
from queues.lane import Lane
from queues.messages import MessageConsumer
from queues.scripts import Scripts
from queues.send import Outgoing, enqueue_many
from tests.queues.stock.sending import put
from tests.queues.support import Valkey, losing_answers, wait_until

PATIENCE = 0.2
"""Seconds that a client waits for an answer here, so that the tests are short."""


@pytest.fixture
def ours(url: str) -> Iterator[MessageConsumer]:
    """Our consumer of the queue."""
    with connect(url, read_timeout=PATIENCE) as client:
        keys = QueueKeys("payspool", "payouts")
        scripts = Scripts(client, "payspool", "me")
        access = Access(keys, client, scripts, Lane(), threading.Event())
        yield MessageConsumer(access, actors={}, prefetch=4)


@contextmanager
def read_only(client: redis.Redis) -> Iterator[None]:
    client.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        client.replicaof("NO", "ONE")


@contextmanager
def silent(client: redis.Redis) -> Iterator[None]:
    client.client_pause(60_000, all=False)
    try:
        yield
    finally:
        client.client_unpause()


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        (read_only, redis.exceptions.ReadOnlyError),
        (silent, redis.TimeoutError),
        (full, redis.exceptions.OutOfMemoryError),
    ],
)
def test_stock_takes_a_server_that_cannot_serve_for_a_bug_of_its_own(
    client: redis.Redis, url: str, condition: Callable[..., Any], error: type[Exception]
) -> None:
    broker = RedisBroker(client=connect(url, read_timeout=PATIENCE))
    broker.declare_queue("payouts")
    put(broker, 1)
    consumer = broker.consume("payouts")
    with condition(client), pytest.raises(error) as caught:
        next(consumer)
    assert not isinstance(caught.value, ConnectionClosed)
    broker.client.close()


@pytest.mark.parametrize("condition", [read_only, silent])
def test_ours_takes_it_for_a_lost_connection_and_tries_again(
    client: redis.Redis, ours: MessageConsumer, condition: Callable[..., Any]
) -> None:
    enqueue_many(client, [Outgoing("payouts", "payouts.send", (1,))])
    with condition(client), pytest.raises(ConnectionClosed):
        next(ours)
    assert wait_for(ours).args == (1,)


def wait_for(consumer: MessageConsumer) -> dramatiq.MessageProxy:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if (message := next(consumer)) is not None:
                return message
        except ConnectionClosed:
            time.sleep(0.1)
    raise AssertionError("nothing within 5 s")


def test_stock_cannot_drain_a_full_server_and_neither_fetches_nor_acknowledges(
    client: redis.Redis, stock: RedisBroker
) -> None:
    put(stock, 1, 2)
    consumer = stock.consume("payouts")
    message = next(consumer)
    with full(client):
        for call in (consumer.ack, consumer.nack):
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                call(message)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            next(consumer)
    assert client.hlen("dramatiq:payouts.msgs") == 2


def test_ours_drains_it(client: redis.Redis, ours: MessageConsumer) -> None:
    enqueue_many(client, [Outgoing("payouts", "payouts.send", (n,)) for n in (1, 2)])
    with full(client):
        for number in (1, 2):
            message = wait_for(ours)
            assert message.args == (number,)
            ours.ack(message)
    assert client.hlen("payspool:payouts.msgs") == 0


def test_stock_sends_twice_what_it_was_told_to_send_once(
    shared_valkey: Valkey, client: redis.Redis, stock: RedisBroker
) -> None:
    # Else the lost answer may be that the server does not know the script yet.
    put(stock, 1)
    client.flushall()  # not of scripts
    with losing_answers(shared_valkey, b"payouts.send", times=1) as url:
        # Made of an address's parts; made of a URL its client does not repeat anything.
        broker = RedisBroker(unix_socket_path=url.removeprefix("unix://"))
        broker.declare_queue("payouts")
        put(broker, 1)
        broker.client.connection_pool.disconnect()
    assert client.llen("dramatiq:payouts") == 2, "its client repeated the script"


def test_ours_sends_it_once_and_says_that_it_does_not_know(
    shared_valkey: Valkey, client: redis.Redis
) -> None:
    message = Outgoing("payouts", "payouts.send", (1,))
    with (
        losing_answers(shared_valkey, b"payouts.send", times=1) as url,
        connect(url) as losing,
        pytest.raises(ConnectionClosed),
    ):
        enqueue_many(losing, [message])
    assert client.llen("payspool:payouts") == 1


def test_stock_forgets_a_dead_letter_after_seven_days(client: redis.Redis, url: str) -> None:
    broker = RedisBroker(url=url, maintenance_chance=1_000_000)  # as it happens, sooner or later
    broker.declare_queue("payouts")
    put(broker, 1)
    consumer = broker.consume("payouts")
    consumer.nack(next(consumer))
    assert client.zcard("dramatiq:payouts.XQ") == 1
    (name,) = client.zrange("dramatiq:payouts.XQ", 0, -1)
    client.zincrby("dramatiq:payouts.XQ", -(7 * 24 * 3600 * 1000 + 1000), name)
    next(consumer)
    assert client.zcard("dramatiq:payouts.XQ") == client.hlen("dramatiq:payouts.XQ.msgs") == 0
    broker.client.connection_pool.disconnect()


# Ours: tests/workers/test_dead_letters.py, where SQL has it first and keeps it.


def poisoned(client: redis.Redis, namespace: str) -> None:
    """An undecodable message in front of the queue."""
    client.hset(f"{namespace}:payouts.msgs", "poison", b"\xff")
    client.lpush(f"{namespace}:payouts", "poison")


@contextmanager
def served(broker: dramatiq.Broker, done: list[int]) -> Iterator[None]:
    dramatiq.actor(
        done.append, broker=broker, queue_name="payouts", actor_name="payouts.send", max_retries=0
    )
    worker = dramatiq.Worker(broker)
    worker.start()
    try:
        yield
    finally:
        worker.stop(timeout=5000)


@pytest.mark.slow
def test_stock_strands_what_it_fetched_together_with_an_undecodable_message(
    client: redis.Redis, stock: RedisBroker, caplog: pytest.LogCaptureFixture
) -> None:
    put(stock, 1, 2, 3)
    poisoned(client, "dramatiq")
    done: list[int] = []
    with served(stock, done):
        wait_until(lambda: "Restarting consumer" in caplog.text or "unexpected" in caplog.text)
        time.sleep(4)  # a consumer starts again after 3 s, and finds the queue empty
        assert done == []
        assert client.llen("dramatiq:payouts") == 0
        assert client.scard(f"dramatiq:__acks__.{stock.broker_id}.payouts") == 4


def test_ours_puts_it_among_the_dead_letters_and_does_the_others(
    client: redis.Redis, url: str
) -> None:
    enqueue_many(client, [Outgoing("payouts", "payouts.send", (n,)) for n in (1, 2, 3)])
    poisoned(client, "payspool")
    broker = PayspoolBroker(url, liveness=LivenessSettings(beat=0.4, timeout=1.6, sweep=0.2))
    done: list[int] = []
    with served(broker, done):
        wait_until(lambda: sorted(done) == [1, 2, 3], 3)
        wait_until(lambda: client.hgetall("payspool:payouts.XQ.msgs") == {b"poison": b"\xff"})
    broker.close()
