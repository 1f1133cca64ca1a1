from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import redis

import payspool_client
from payspool_client import Event, Publisher, PublishError, QueueRefused, QueueUnavailable
from tests.clients.producer import event, ids, queued


def test_an_event_is_published_as_the_text_that_was_sent(
    valkey_url: str, client: redis.Redis
) -> None:
    text = json.dumps(event(1), indent=2)
    typed = payspool_client.parse_event(json.dumps(event(4)))
    with Publisher(valkey_url) as publisher:
        publisher.publish(text)
        publisher.publish(text.encode())
        publisher.publish(event(3, note="Füße"))
        publisher.publish(typed)
    first, second, third, fourth = queued(client)
    assert first == second == text
    assert json.loads(third) == event(3, note="Füße")
    assert payspool_client.parse_event(fourth) == typed
    assert client.llen("payspool:events") == client.hlen("payspool:events.msgs") == 4


def test_another_namespace_has_its_own_keys(valkey_url: str, client: redis.Redis) -> None:
    with Publisher(valkey_url, namespace="other") as publisher:
        publisher.publish(event(1))
    assert len(queued(client, "other")) == 1
    assert queued(client) == []


def test_many_events_arrive_packed_in_order_and_are_counted(
    valkey_url: str, client: redis.Redis
) -> None:
    with Publisher(valkey_url) as publisher:
        assert publisher.publish_many(event(i) for i in range(1234)) == 1234
        assert publisher.publish_many([]) == 0
    assert ids(queued(client)) == [f"e-{i}" for i in range(1234)]
    assert client.llen("payspool:events") == 13  # 500 + 500 + 234 events, 100 in a message


def test_a_wrong_event_stops_before_its_chunk_and_is_named(
    valkey_url: str, client: redis.Redis
) -> None:
    events = [event(i) for i in range(25)]
    events[17]["data"]["amount"] = -1
    with Publisher(valkey_url) as publisher, pytest.raises(PublishError) as caught:
        publisher.publish_many(events, chunk=10)
    assert (caught.value.sent, caught.value.index) == (10, 17)
    assert caught.value.reason == "negative_amount"
    assert caught.value.invalid.field == "data.amount"
    assert ids(queued(client)) == [f"e-{i}" for i in range(10)]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("{", "invalid_json"),
        (b"\xff", "invalid_unicode"),
        ({"a": object()}, "invalid_json"),
        ({}, "missing_field"),
        (event(1, x=float("nan")), "not_finite"),
        (event(1, x="\ud800"), "invalid_unicode"),
    ],
)
def test_nothing_invalid_reaches_the_queue(
    valkey_url: str, client: redis.Redis, wrong: Any, reason: str
) -> None:
    with Publisher(valkey_url) as publisher, pytest.raises(PublishError) as caught:
        publisher.publish(wrong)
    assert (caught.value.sent, caught.value.index, caught.value.reason) == (0, 0, reason)
    assert queued(client) == []


def test_a_queue_that_cannot_be_reached_says_that_repeating_is_safe() -> None:
    with (
        Publisher("redis://127.0.0.1:1/0") as publisher,
        pytest.raises(QueueUnavailable, match="publishing the same events again is safe") as caught,
    ):
        publisher.publish(event(1))
    assert caught.value.sent == 0


def test_a_connection_that_is_cut_tells_how_many_were_certainly_published(
    valkey_url: str, client: redis.Redis
) -> None:
    def cut_off_after(count: int) -> Iterator[dict[str, Any]]:
        for i in itertools.count():
            if i == count:
                client.config_set("maxclients", 1)
                client.client_kill_filter(_type="normal", skipme=True)
            yield event(i)

    try:
        with Publisher(valkey_url) as publisher, pytest.raises(QueueUnavailable) as caught:
            publisher.publish_many(cut_off_after(25), chunk=10)
    finally:
        client.config_set("maxclients", 10_000)
    assert caught.value.sent == 20
    assert len(queued(client)) == 20


def test_a_full_queue_refuses_and_nothing_of_the_chunk_is_there(
    valkey_url: str, client: redis.Redis
) -> None:
    client.config_set("maxmemory", 1)
    try:
        with (
            Publisher(valkey_url, limit=None) as publisher,
            pytest.raises(QueueRefused) as caught,
        ):
            publisher.publish_many(event(i) for i in range(20))
    finally:
        client.config_set("maxmemory", 0)
    assert caught.value.sent == 0
    assert queued(client) == []
    assert not client.exists("payspool:events.msgs")


def test_a_publisher_outlives_a_connection_that_was_closed_between_calls(
    valkey_url: str, client: redis.Redis
) -> None:
    with Publisher(valkey_url) as publisher:
        publisher.publish(event(1))
        client.client_kill_filter(_type="normal", skipme=True)
        publisher.publish(event(2))
    assert ids(queued(client)) == ["e-1", "e-2"]


def test_a_generator_of_many_is_published_in_flat_memory(
    valkey_url: str, client: redis.Redis
) -> None:
    with Publisher(valkey_url) as publisher:
        publisher.publish_many(event(i) for i in range(1000))
        tracemalloc.start()
        try:
            publisher.publish_many(event(i) for i in range(20_000))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * 1024 * 1024


def test_an_event_object_is_sent_without_being_judged_again(
    valkey_url: str, client: redis.Redis
) -> None:
    made = payspool_client.parse_event(json.dumps(event(1)))
    assert isinstance(made, Event)
    with Publisher(valkey_url) as publisher:
        assert publisher.publish_many([made] * 3) == 3
    assert len(queued(client)) == 3
