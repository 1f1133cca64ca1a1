"""What a process holds, against what the server holds for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import dramatiq
import pytest
import redis

from payspool_client import Publisher, wire
from queues import Batch, BatchLimits, PayspoolBroker
from tests.queues.support import event, wait_until


@pytest.fixture
def broker(url: str) -> PayspoolBroker:
    return PayspoolBroker(url, batches={wire.QUEUE: BatchLimits()})


@pytest.fixture
def serve(broker: PayspoolBroker) -> Iterator[Callable[[], None]]:
    workers: list[dramatiq.Worker] = []

    def start() -> None:
        workers.append(dramatiq.Worker(broker, worker_threads=1, worker_timeout=50))
        workers[0].start()

    yield start
    workers[0].stop(timeout=5000)


def test_messages_whose_fetch_was_never_answered_are_taken_back_by_their_owner(
    client: redis.Redis, broker: PayspoolBroker, publisher: Publisher, serve: Callable[[], None]
) -> None:
    got: list[str] = []

    @dramatiq.actor(broker=broker, queue_name=wire.QUEUE, actor_name=wire.ACTOR)
    def ingest(batch: Batch) -> None:
        got.extend(item.redis_message_id for item in batch)

    serve()
    publisher.publish(event(0))
    wait_until(lambda: len(got) == 1)
    # As after a fetch of this process that the server ran, and whose answer was lost.
    for i in range(1, 6):
        ((message_id, raw),) = wire.encode_messages([json.dumps(event(i))])
        client.hset("payspool:events.msgs", message_id, raw)
        client.zadd(f"payspool:events.in_flight.{broker.broker_id}", {message_id: i})
    wait_until(lambda: len(got) == 6)
    wait_until(lambda: client.hlen("payspool:events.msgs") == 0)


def test_a_message_whose_acknowledgement_is_refused_comes_back(
    client: redis.Redis, broker: PayspoolBroker, publisher: Publisher, serve: Callable[[], None]
) -> None:
    got: list[int] = []
    in_flight = f"payspool:events.in_flight.{broker.broker_id}"

    @dramatiq.actor(broker=broker, queue_name=wire.QUEUE, actor_name=wire.ACTOR)
    def ingest(batch: Batch) -> None:
        got.append(len(batch))
        if len(got) == 1:
            client.rename(in_flight, "aside")
            client.set(in_flight, "of another type")

    publisher.publish(event(0))
    serve()
    wait_until(lambda: len(got) == 1)
    time.sleep(0.3)
    client.rename("aside", in_flight)
    wait_until(lambda: len(got) == 2)
    broker.join("events", interval=10, timeout=5_000)
