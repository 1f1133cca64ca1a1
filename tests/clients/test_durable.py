"""Durable publishing: it returns after the queue's disk has the events, or says that it may not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from payspool_client import NotDurable, Publisher
from tests.clients.producer import event, queued


@pytest.fixture
def disk(durable_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(durable_url) as client:
        client.flushall()
        yield client
        client.config_set("appendonly", "yes")
        client.config_set("appendfsync", "always")


def calls(client: redis.Redis, command: str) -> int:
    return int(client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


def test_what_was_published_durably_is_on_the_disk(durable_url: str, disk: redis.Redis) -> None:
    before = calls(disk, "waitaof")
    with Publisher(durable_url) as publisher:
        publisher.publish(event(1), durable=True)
        assert publisher.publish_many((event(i) for i in range(25)), chunk=10, durable=True) == 25
    assert len(queued(disk)) == 26
    assert calls(disk, "waitaof") - before == 4, "once for each transaction"
    with Publisher(durable_url) as publisher:
        publisher.publish(event(2))
    assert calls(disk, "waitaof") - before == 4, "and never without being asked"


def test_a_queue_without_a_disk_says_that_it_may_be_queued(
    valkey_url: str, client: redis.Redis
) -> None:
    with (
        Publisher(valkey_url) as publisher,
        pytest.raises(NotDurable, match=r"appendonly is disabled.*may be queued; repeat it") as e,
    ):
        publisher.publish_many((event(i) for i in range(25)), chunk=10, durable=True)
    assert e.value.sent == 0
    assert len(queued(client)) == 10, "the chunk is queued, and nothing after it"


def test_a_disk_that_stops_in_the_middle_is_told_with_what_was_confirmed(
    durable_url: str, disk: redis.Redis
) -> None:
    def until_the_disk_is_gone() -> Iterator[dict[str, object]]:
        for i in range(25):
            if i == 20:
                disk.config_set("appendonly", "no")
            yield event(i)

    with Publisher(durable_url) as publisher, pytest.raises(NotDurable) as caught:
        publisher.publish_many(until_the_disk_is_gone(), chunk=10, durable=True)
    assert caught.value.sent == 20
    assert "20 events were confirmed" in str(caught.value)
    assert len(queued(disk)) == 25


def test_a_disk_that_is_too_slow_is_not_waited_for_longer_than_asked(
    durable_url: str, disk: redis.Redis
) -> None:
    disk.config_set("appendfsync", "no")  # the system writes when it likes
    with (
        Publisher(durable_url, durable_timeout=0.05) as publisher,
        pytest.raises(NotDurable, match=r"not within 0\.05 s") as caught,
    ):
        publisher.publish(event(1), durable=True)
    assert caught.value.sent == 0
    assert len(queued(disk)) == 1


def test_the_wait_for_the_disk_must_end_before_the_wait_for_an_answer() -> None:
    with pytest.raises(ValueError, match="durable_timeout must be shorter"):
        Publisher("redis://127.0.0.1:1/0", read_timeout=1, durable_timeout=1)
