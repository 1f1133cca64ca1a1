"""Messages that kill the process that works on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from payspool_client import Publisher
from queues.consumer import DEATHS_MAX
from queues.scripts import Fetched, Scripts
from queues.send import Outgoing, enqueue_many
from tests.queues.support import WorkerProcess, event, read_records

Start = Callable[..., WorkerProcess]
QUICK = {"beat": 0.2, "timeout": 0.8, "sweep": 0.1}


def keep_alive(start_worker: Start, done: Callable[[], bool], url: str, **options: object) -> int:
    """Start a worker again whenever it died, as a supervisor does; returns how often it died."""
    deaths = 0
    worker = start_worker(url, liveness=QUICK, **options)
    deadline = time.monotonic() + 40
    while not done():
        assert time.monotonic() < deadline, "not within 40 s"
        if worker.process.poll() is not None:
            deaths += 1
            worker = start_worker(url, liveness=QUICK, **options)
        time.sleep(0.02)
    assert worker.terminate() == 0
    return deaths


@pytest.mark.slow
def test_an_event_that_kills_its_worker_is_a_dead_letter_after_three_deaths(
    client: redis.Redis, publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publisher.publish_many((event(i) for i in range(60)), chunk=1)
    poison = client.lindex("payspool:events", 20)
    raw = client.hget("payspool:events.msgs", poison)
    deaths = keep_alive(
        start_worker,
        lambda: client.hlen("payspool:events.msgs") == 0,
        url,
        limits={"messages": 25},
        deadly=["e-20"],
    )
    assert deaths == DEATHS_MAX == 3
    done = sorted(id_ for record in read_records(tmp_path, "done") for id_ in record["ids"])
    assert done == sorted(f"e-{i}" for i in range(60) if i != 20), "each neighbour, once"
    assert client.hgetall("payspool:events.XQ.msgs") == {poison: raw}
    assert b"3 workers died" in client.hget("payspool:events.XQ.errors", poison)
    assert client.hget("payspool:events.XQ.counts", poison) == b"3 3"
    assert not client.exists("payspool:events.tries", "payspool:events.deaths", "payspool:alone")


@pytest.mark.slow
def test_a_message_that_kills_its_worker_does_not_take_those_beside_it_along(
    client: redis.Redis, start_worker: Start, url: str, tmp_path: Path
) -> None:
    enqueue_many(client, [Outgoing("payouts", "payouts.send", (i,)) for i in range(30)])
    deaths = keep_alive(
        start_worker,
        lambda: client.hlen("payspool:payouts.msgs") == 0,
        url,
        queues=["payouts", "events"],
        threads=4,
        seconds=0.01,
        deadly=[7],
    )
    assert deaths == 3
    assert {record["number"] for record in read_records(tmp_path, "done")} == {*range(30)} - {7}
    assert client.zcard("payspool:payouts.XQ") == 1


class Worker:
    """An owner without a process."""

    def __init__(self, client: redis.Redis, owner: str) -> None:
        self.scripts = Scripts(client, "payspool", owner)

    def fetch(self, queue: str = "events", messages: int = 100) -> Fetched:
        return self.scripts.fetch(queue, messages=messages, size=1 << 20)

    def take(self, queue: str = "events") -> list[str]:
        return [taken.id for taken in self.fetch(queue).taken]


def fill(client: redis.Redis, queue: str, *names: str, died: int = 0) -> None:
    for name in names:
        client.hset(f"payspool:{queue}.msgs", name, b"x")
        client.rpush(f"payspool:{queue}", name)
        if died:
            client.hset(f"payspool:{queue}.deaths", name, died)


def test_a_message_with_a_death_is_taken_alone_and_nothing_beside_it(client: redis.Redis) -> None:
    me = Worker(client, "me")
    fill(client, "events", "a", "b")
    fill(client, "events", "c", "d", died=1)
    fill(client, "events", "e")
    assert me.take() == ["a", "b"], "what was before it goes first"
    assert me.fetch().held_up == "alone"
    assert Worker(client, "other").take() == ["c"], "who holds nothing may have it"
    me.scripts.ack("events", ["a"])
    assert me.fetch().held_up == "alone"
    me.scripts.ack("events", ["b"])
    fetched = me.fetch()
    assert [(taken.id, taken.deaths) for taken in fetched.taken] == [("d", 1)]
    assert me.fetch().held_up == "alone", "nothing beside it"
    me.scripts.ack("events", ["d"])
    assert me.take() == ["e"]
    assert not client.hexists("payspool:alone", "me")


def test_alone_means_on_all_queues_and_busy_ones_do_not_starve_it(client: redis.Redis) -> None:
    me = Worker(client, "me")
    fill(client, "payouts", "p", "q")
    assert [taken.id for taken in me.fetch("payouts", messages=1).taken] == ["p"]
    fill(client, "events", "a", died=1)
    assert me.fetch().held_up == "alone"
    assert me.fetch("payouts").held_up == "alone", "its turn is next"
    me.scripts.ack("payouts", ["p"])
    assert me.fetch("payouts").held_up == "alone"
    assert me.take() == ["a"]
    assert me.fetch("payouts").held_up == "alone", "while it runs"
    me.scripts.retry("events", "a", backoff=60)
    assert me.take("payouts") == ["q"]


def test_a_turn_that_another_worker_took_is_given_up(client: redis.Redis) -> None:
    me = Worker(client, "me")
    fill(client, "payouts", "p", "q")
    me.fetch("payouts", messages=1)
    fill(client, "events", "a", died=1)
    assert me.fetch().held_up == "alone"
    assert Worker(client, "other").take() == ["a"]
    assert me.take() == []
    assert me.take("payouts") == ["q"]
