from __future__ import annotations

import time

import pytest
import redis

from payspool_client import Publisher
from queues import enqueue, is_idle
from queues.inspect import QueueState, inspect
from queues.scripts import Scripts
from tests.queues.support import event


def test_an_unknown_queue_is_an_empty_one(client: redis.Redis) -> None:
    assert inspect(client, "payspool", ["events", "payouts"]) == [
        QueueState("events", 0, 0, 0, 0, 0, None),
        QueueState("payouts", 0, 0, 0, 0, 0, None),
    ]
    assert is_idle(client, "payspool", ["events", "payouts"])
    assert client.keys() == []


def test_every_message_is_counted_where_it_is(client: redis.Redis, publisher: Publisher) -> None:
    publisher.publish_many((event(i) for i in range(10)), chunk=1)
    mine, others = Scripts(client, "payspool", "me"), Scripts(client, "payspool", "other")
    taken = [t.id for t in mine.fetch("events", messages=4, size=1 << 20).taken]
    others.fetch("events", messages=2, size=1 << 20)
    mine.retry("events", taken[0], backoff=60)
    mine.dead_letter("events", taken[1], "broken")
    client.zadd("payspool:heartbeats", {"other": 0})
    (state,) = inspect(client, "payspool", ["events"])
    assert (state.ready, state.in_flight, state.orphans) == (4, 4, 2)
    assert (state.later, state.dead) == (1, 1)
    assert not state.idle


@pytest.mark.parametrize("where", ["ready", "later", "in flight"])
def test_a_queue_with_anything_to_do_is_not_idle(
    client: redis.Redis, publisher: Publisher, where: str
) -> None:
    publisher.publish(event(1))
    scripts = Scripts(client, "payspool", "me")
    if where == "later":
        (taken,) = scripts.fetch("events", messages=1, size=1).taken
        scripts.retry("events", taken.id, backoff=60)
    elif where == "in flight":
        scripts.fetch("events", messages=1, size=1)
    assert not is_idle(client, "payspool", ["payouts", "events"])


def test_dead_letters_alone_are_idle(client: redis.Redis, publisher: Publisher) -> None:
    publisher.publish(event(1))
    scripts = Scripts(client, "payspool", "me")
    (taken,) = scripts.fetch("events", messages=1, size=1).taken
    scripts.dead_letter("events", taken.id, "broken")
    assert is_idle(client, "payspool", ["events"])


def test_the_oldest_is_as_old_as_its_timestamp_says(
    client: redis.Redis, publisher: Publisher
) -> None:
    large = event(1)
    large["data"]["note"] = '"message_timestamp": 1' + "x" * 40_000
    publisher.publish_many([large] * 30)
    enqueue(client, "payouts", "payouts.send", ["x" * 100_000])
    time.sleep(0.3)
    for state in inspect(client, "payspool", ["events", "payouts"]):
        assert state.oldest_seconds is not None
        assert 0.25 < state.oldest_seconds < 5


def test_a_message_that_does_not_say_when_has_no_age(client: redis.Redis) -> None:
    client.hset("payspool:events.msgs", "x", b"\xff")
    client.rpush("payspool:events", "x")
    (state,) = inspect(client, "payspool", ["events"])
    assert (state.ready, state.oldest_seconds) == (1, None)
