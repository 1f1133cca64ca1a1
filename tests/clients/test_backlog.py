"""The backlog's limit: producers stop before Valkey's memory ends, and are told what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from payspool_client import (
    BacklogFull,
    BacklogLimit,
    PayspoolClientError,
    Publisher,
    QueueRefused,
    QueueUnavailable,
)
from payspool_client.backlog import Backlog, measure
from tests.clients.producer import event, queued


@pytest.fixture
def memory(client: redis.Redis) -> Iterator[redis.Redis]:
    """Valkey with a limit of memory that is lifted again."""
    yield client
    client.config_set("maxmemory", 0)


def test_messages_pass_up_to_the_limit_and_none_beyond(
    valkey_url: str, client: redis.Redis
) -> None:
    with Publisher(valkey_url, limit=BacklogLimit(messages=3)) as publisher:
        for i in range(3):
            publisher.publish(event(i))
        for _ in range(2):
            with pytest.raises(BacklogFull) as caught:
                publisher.publish(event(4))
        error = caught.value
        assert (error.messages, error.limit, error.unit, error.sent) == (3, 3, "messages", 0)
        assert error.bytes > 100_000
        assert error.retry_after == 10
        assert isinstance(error, PayspoolClientError)
        assert "3 messages are not done" in str(error)
        assert "publish the rest again in 10 seconds" in str(error)
        assert len(queued(client)) == 3
        client.delete("payspool:events.msgs", "payspool:events")  # a worker took them
        publisher.publish(event(4))
    assert len(queued(client)) == 1


def test_many_events_stop_at_a_whole_chunk_and_tell_how_many_were_sent(
    valkey_url: str, client: redis.Redis
) -> None:
    with (
        Publisher(valkey_url, limit=BacklogLimit(messages=5)) as publisher,
        pytest.raises(BacklogFull) as caught,
    ):
        publisher.publish_many((event(i) for i in range(1_000)), chunk=200)  # two messages a chunk
    assert caught.value.sent == 400
    assert "400 events were published and nothing after them" in str(caught.value)
    assert len(queued(client)) == 400


def test_what_others_publish_counts_too(valkey_url: str, client: redis.Redis) -> None:
    with (
        Publisher(valkey_url, limit=None) as careless,
        Publisher(valkey_url, limit=BacklogLimit(messages=5)) as careful,
    ):
        for i in range(6):
            careless.publish(event(i))
        with pytest.raises(BacklogFull):
            careful.publish(event(7))


def test_by_default_producers_fill_seventy_per_cent_of_the_memory_and_leave_the_rest(
    valkey_url: str, memory: redis.Redis
) -> None:
    used = memory.info("memory")["used_memory"]
    limit = used + 4 * 1024 * 1024
    memory.config_set("maxmemory", int(limit / 0.7))
    filling = [event(i, note="x" * 5_000) for i in range(500)]
    with Publisher(valkey_url) as publisher, pytest.raises(BacklogFull) as caught:
        publisher.publish_many(filling * 100)
    assert caught.value.unit == "bytes"
    assert caught.value.limit == pytest.approx(limit, abs=2)
    assert memory.info("memory")["used_memory"] < limit / 0.7 * 0.8
    memory.hdel("payspool:events.msgs", memory.lpop("payspool:events"))  # a worker still may


def test_a_limit_in_bytes_of_ones_own_holds_without_a_maxmemory(
    valkey_url: str, client: redis.Redis
) -> None:
    # Below what a Valkey uses that holds nothing: others come and go on this one.
    with Publisher(valkey_url, limit=BacklogLimit(bytes=100_000)) as publisher:
        with pytest.raises(BacklogFull, match="the limit is 100,000 bytes"):
            publisher.publish(event(1))
        with pytest.raises(BacklogFull):
            publisher.check_backlog()
    assert queued(client) == []


def test_the_backlog_can_be_asked_for_without_sending(valkey_url: str, client: redis.Redis) -> None:
    with Publisher(valkey_url, limit=BacklogLimit(messages=2)) as publisher:
        publisher.check_backlog()
        publisher.publish(event(1))
        publisher.check_backlog()
        publisher.publish(event(2))
        assert publisher.backlog().messages == 2
        with pytest.raises(BacklogFull):
            publisher.check_backlog()
    assert measure(client).messages == 2


@pytest.mark.parametrize(
    ("limit", "backlog", "messages", "size", "fits"),
    [
        (BacklogLimit(messages=10), Backlog(9, 0, 0), 1, 0, True),
        (BacklogLimit(messages=10), Backlog(9, 0, 0), 2, 0, False),
        (BacklogLimit(), Backlog(0, 600, 1000), 1, 100, True),
        (BacklogLimit(), Backlog(0, 600, 1000), 1, 101, False),
        (BacklogLimit(), Backlog(0, 10**12, 0), 1, 101, True),
        (BacklogLimit(), Backlog(0, 1, 1), 1, 0, False),
        (BacklogLimit(bytes=650), Backlog(0, 600, 1000), 1, 50, True),
        (BacklogLimit(bytes=650), Backlog(0, 600, 1000), 1, 51, False),
        (BacklogLimit(bytes=900), Backlog(0, 600, 1000), 1, 101, False),
        (BacklogLimit(memory_share=0.9), Backlog(0, 600, 1000), 1, 300, True),
    ],
)
def test_the_edges(
    limit: BacklogLimit, backlog: Backlog, messages: int, size: int, *, fits: bool
) -> None:
    if fits:
        limit.check(backlog, messages=messages, size=size)
    else:
        with pytest.raises(BacklogFull):
            limit.check(backlog, messages=messages, size=size)


@pytest.mark.parametrize("wrong", [{"messages": 0}, {"bytes": 0}, {"memory_share": 1.0}], ids=str)
def test_a_limit_that_limits_nothing_or_everything_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        BacklogLimit(**wrong)  # type: ignore[arg-type]


def test_a_queue_that_does_not_tell_how_full_it_is_gets_nothing(
    valkey_url: str, client: redis.Redis
) -> None:
    client.execute_command(
        "ACL", "SETUSER", "shop", "on", "nopass", "~*", "+@all", "-info", "-client"
    )
    url = valkey_url.replace("unix://", "unix://shop:any@")
    try:
        with Publisher(url) as publisher:
            with pytest.raises(QueueRefused, match="info"):
                publisher.publish(event(1))
            with pytest.raises(QueueRefused, match="info"):
                publisher.check_backlog()
        with Publisher(url, limit=None) as publisher:
            publisher.publish(event(1))
    finally:
        client.execute_command("ACL", "DELUSER", "shop")
    assert len(queued(client)) == 1


def test_an_unreachable_queue_has_no_backlog_to_tell() -> None:
    with Publisher("redis://127.0.0.1:1/0") as publisher, pytest.raises(QueueUnavailable):
        publisher.check_backlog()
