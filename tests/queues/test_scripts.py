"""The scripts one by one, and the blocking wait, on the real server."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from payspool_client import Publisher
from queues.connection import connect
from queues.scripts import Fetched, Scripts
from tests.queues.support import event


@pytest.fixture
def scripts(client: redis.Redis) -> Scripts:
    return Scripts(client, "payspool", "me")


def fetch(scripts: Scripts, messages: int = 100, size: int = 1 << 20) -> Fetched:
    return scripts.fetch("events", messages=messages, size=size)


def ids(fetched: Fetched) -> list[str]:
    return [taken.id for taken in fetched.taken]


def fill(client: redis.Redis, *names: str, size: int = 10) -> None:
    for name in names:
        client.hset("payspool:events.msgs", name, b"x" * size)
        client.rpush("payspool:events", name)


def waiting(client: redis.Redis) -> list[str]:
    return [name.decode() for name in client.lrange("payspool:events", 0, -1)]


def test_a_fetch_takes_from_the_front_within_count_and_size(
    client: redis.Redis, scripts: Scripts
) -> None:
    fill(client, *"abcdef", size=100)
    assert ids(fetch(scripts, messages=2)) == ["a", "b"]
    assert ids(fetch(scripts, size=250)) == ["c", "d"]
    assert ids(fetch(scripts, size=1)) == ["e"], "one is taken whatever its size"
    last = fetch(scripts)
    assert ids(last) == ["f"]
    assert last.taken[0].raw == b"x" * 100
    assert last.in_flight == 6
    assert fetch(scripts).taken == []


def test_what_goes_back_is_in_front_and_in_order(client: redis.Redis, scripts: Scripts) -> None:
    fill(client, *"abcdefg")
    fetch(scripts, messages=3)
    fetch(scripts, messages=2)
    assert scripts.ack("events", ["b"]) == 1
    assert scripts.give_back("events", held=["d"], failed=True) == 3
    assert waiting(client) == ["a", "c", "e", "f", "g"]
    again = fetch(scripts, messages=4)
    assert [(taken.id, taken.tries) for taken in again.taken] == [
        ("a", 1),
        ("c", 1),
        ("e", 1),
        ("f", 0),
    ]


def test_a_thousand_messages_are_one_batch(client: redis.Redis, scripts: Scripts) -> None:
    names = [f"m{i}" for i in range(1200)]
    fill(client, *names)
    assert ids(fetch(scripts, messages=1000)) == names[:1000]
    assert scripts.give_back("events", held=names[:1], failed=True) == 999
    assert ids(fetch(scripts, messages=1000)) == names[1:1001]
    assert scripts.ack("events", names[:1000]) == 1000
    assert client.hlen("payspool:events.msgs") == 200


def test_a_retry_is_due_after_its_backoff_and_before_what_waits(
    client: redis.Redis, scripts: Scripts
) -> None:
    fill(client, *"ab")
    fetch(scripts, messages=2)
    assert scripts.retry("events", "a", backoff=0.2)
    assert scripts.retry("events", "b", backoff=0.1)
    empty = fetch(scripts)
    assert empty.taken == []
    assert empty.next_due is not None
    assert 0 < empty.next_due <= 0.1
    fill(client, "c")
    time.sleep(0.25)
    due = fetch(scripts)
    assert [(taken.id, taken.tries) for taken in due.taken] == [("b", 1), ("a", 1), ("c", 0)]
    assert due.next_due is None


def test_the_blocking_wait_changes_nothing(client: redis.Redis, url: str) -> None:
    def wait() -> None:
        with connect(url) as waiter:
            for _ in range(20):
                waiter.blmove("payspool:events", "payspool:events", 5, "LEFT", "LEFT")

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    names = [f"m{i}" for i in range(50)]
    for name in names:
        client.rpush("payspool:events", name)
    for thread in threads:
        thread.join(10)
    assert waiting(client) == names


def test_the_blocking_wait_ends_within_a_millisecond_or_two(client: redis.Redis, url: str) -> None:
    woken: list[float] = []

    def wait() -> None:
        with connect(url) as waiter:
            waiter.blmove("payspool:events", "payspool:events", 5, "LEFT", "LEFT")
            woken.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    pushed = time.monotonic()
    client.rpush("payspool:events", "a")
    thread.join(10)
    assert woken[0] - pushed < 0.05


def test_a_full_server_lets_work_drain(
    client: redis.Redis, publisher: Publisher, scripts: Scripts
) -> None:
    publisher.publish_many((event(i) for i in range(6)), chunk=1)
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("x", "y")
        a, b, c, d, e, f = ids(fetch(scripts))
        assert scripts.ack("events", [a, b]) == 2
        assert scripts.retry("events", c, backoff=0)
        assert scripts.dead_letter("events", d, "broken")
        assert scripts.give_back("events", held=[e], failed=True) == 1
        scripts.heartbeat(gap=1, timeout=4)
        assert scripts.return_of_the_dead(gap=1, timeout=4) == {}
        assert ids(fetch(scripts)) == [c, f]
    finally:
        client.config_set("maxmemory", 0)


def test_parts_take_the_place_of_a_message_while_it_is_ours(
    client: redis.Redis, scripts: Scripts
) -> None:
    fill(client, "a", "b")
    fetch(scripts, messages=1)
    parts = [("a1", b"one"), ("a2", b"two"), ("a3", b"three")]
    assert scripts.split("events", "a", parts)
    assert waiting(client) == ["a1", "a2", "a3", "b"]
    assert not scripts.split("events", "a", [("a4", b"again")]), "as after a lost answer"
    assert waiting(client) == ["a1", "a2", "a3", "b"]
    assert client.hgetall("payspool:events.msgs") == {
        b"a1": b"one",
        b"a2": b"two",
        b"a3": b"three",
        b"b": b"x" * 10,
    }
    fetched = fetch(scripts)
    assert [(one.id, one.tries, one.deaths) for one in fetched.taken] == [
        ("a1", 1, 1),
        ("a2", 1, 1),
        ("a3", 1, 1),
    ], "apart from b"


def test_a_dead_letter_keeps_its_bytes(client: redis.Redis, scripts: Scripts) -> None:
    fill(client, "a")
    fetch(scripts)
    assert scripts.dead_letter("events", "a", "broken")
    assert client.hgetall("payspool:events.XQ.msgs") == {b"a": b"x" * 10}
    assert client.hget("payspool:events.XQ.errors", "a") == b"broken"
    assert client.zscore("payspool:events.XQ", "a") > 1e12
    assert not client.exists("payspool:events.msgs", "payspool:events.in_flight.me")
