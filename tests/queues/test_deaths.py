"""Messages that kill the process that works on them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from payspool_client import Publisher, wire
from queues.consumer import DEATHS_MAX
from queues.inspect import inspect
from queues.scripts import SUSPECTS_MAX, Fetched, Scripts
from queues.send import Outgoing, enqueue_many
from tests.queues.support import WorkerProcess, event, publish_singly, read_records, wait_until

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
    assert not client.exists("payspool:events.tries", "payspool:events.deaths", "payspool:apart")


@pytest.mark.slow
def test_an_event_that_kills_its_worker_does_not_take_those_in_its_message_along(
    client: redis.Redis, publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publisher.publish_many(event(i) for i in range(60))
    ((packed, raw),) = client.hgetall("payspool:events.msgs").items()
    deaths = keep_alive(
        start_worker,
        lambda: client.hlen("payspool:events.msgs") == 0,
        url,
        limits={"messages": 25},
        deadly=["e-20"],
    )
    assert deaths == 4, "two of their message, and two of its own"
    done = sorted(id_ for record in read_records(tmp_path, "done") for id_ in record["ids"])
    assert done == sorted(f"e-{i}" for i in range(60) if i != 20), "each neighbour, once"
    ((id_, letter),) = client.hgetall("payspool:events.XQ.msgs").items()
    assert id_ != packed
    dead, sent = wire.decode_message(letter), wire.decode_message(raw)
    assert (dead.texts, dead.timestamp) == ([sent.texts[20]], sent.timestamp)
    assert b"3 workers died" in client.hget("payspool:events.XQ.errors", id_)
    assert not client.exists("payspool:events.tries", "payspool:events.deaths", "payspool:apart")


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


def hold_a_thousand(
    client: redis.Redis, start_worker: Start, url: str, folder: Path, **options: object
) -> WorkerProcess:
    """A worker that has 1,000 messages in flight: a batch that does not end, and the next one."""
    publish_singly(client, map(event, range(1000)))
    (folder / "hold").touch()
    worker = start_worker(url, limits={"messages": 500}, **options)
    wait_until(lambda: worker.records("begun"))
    wait_until(lambda: inspect(client, "payspool", ["events"])[0].in_flight == 1000)
    return worker


@pytest.mark.slow
def test_a_thousand_messages_of_a_killed_worker_are_done_within_fifteen_seconds(
    client: redis.Redis, start_worker: Start, url: str, tmp_path: Path
) -> None:
    victim = hold_a_thousand(client, start_worker, url, tmp_path)
    # A transaction of 50 ms, which is slow, and nobody who helps.
    other = start_worker(url, seconds=0.05)
    wait_until(lambda: other.records("ready"))
    (tmp_path / "hold").unlink()
    victim.kill()
    assert wait_until(lambda: client.hlen("payspool:events.msgs") == 0, 15) < 15
    groups = [len(record["ids"]) for record in other.records("done")]
    assert max(groups) == SUSPECTS_MAX == 32
    assert len(groups) == 32, "ceil(1,000 / 32)"
    done = [id_ for record in other.records("done") for id_ in record["ids"]]
    assert done == [f"e-{i}" for i in range(1000)]


@pytest.mark.slow
def test_one_that_kills_is_found_among_a_thousand_in_some_sixty_four_transactions(
    client: redis.Redis, start_worker: Start, url: str, tmp_path: Path
) -> None:
    publish_singly(client, map(event, range(1000)))
    deaths = keep_alive(
        start_worker,
        lambda: client.hlen("payspool:events.msgs") == 0,
        url,
        limits={"messages": 500},
        deadly=["e-321"],
    )
    assert deaths == 3
    done = [id_ for record in read_records(tmp_path, "done") for id_ in record["ids"]]
    assert sorted(done) == sorted(f"e-{i}" for i in range(1000) if i != 321), "each other one, once"
    assert len(read_records(tmp_path, "begun")) <= 1 + 32 + 32 + 1
    assert client.zcard("payspool:events.XQ") == 1


class Worker:
    """An owner without a process."""

    def __init__(self, client: redis.Redis, owner: str) -> None:
        self.name = owner
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


def test_suspects_of_one_death_are_taken_together_and_nothing_beside_them(
    client: redis.Redis,
) -> None:
    me = Worker(client, "me")
    fill(client, "events", "a", "b")
    fill(client, "events", "c", "d", died=1)
    fill(client, "events", "e")
    assert me.take() == ["a", "b"], "what was before them goes first"
    assert me.fetch().held_up == "apart"
    me.scripts.ack("events", ["a"])
    assert me.fetch().held_up == "apart"
    me.scripts.ack("events", ["b"])
    fetched = me.fetch()
    assert [(taken.id, taken.deaths) for taken in fetched.taken] == [("c", 1), ("d", 1)]
    me.scripts.ack("events", ["c"])
    assert me.fetch().held_up == "apart", "nothing beside what is left of them"
    me.scripts.ack("events", ["d"])
    assert me.take() == ["e"]
    assert not client.hexists("payspool:apart", "me")


def test_suspects_of_one_death_come_in_groups_of_at_most_thirty_two(client: redis.Redis) -> None:
    fill(client, "events", *(f"m-{i}" for i in range(80)), died=1)
    groups = [Worker(client, f"worker-{i}").take() for i in range(3)]
    assert groups == [[f"m-{i}" for i in range(a, b)] for a, b in [(0, 32), (32, 64), (64, 80)]]


def test_a_suspect_of_two_deaths_is_taken_alone(client: redis.Redis) -> None:
    fill(client, "events", "a", died=1)
    fill(client, "events", "b", "c", died=2)
    fill(client, "events", "d")
    me, other = Worker(client, "me"), Worker(client, "other")
    assert me.take() == ["a"]
    assert other.take() == ["b"]
    assert other.fetch().held_up == "apart"
    other.scripts.ack("events", ["b"])
    fetched = other.fetch()
    assert [(taken.id, taken.deaths) for taken in fetched.taken] == [("c", 2)]
    assert me.fetch().held_up == "apart"


@pytest.mark.parametrize("seed", range(20))
def test_only_what_kills_is_ever_a_dead_letter(client: redis.Redis, seed: int) -> None:
    """Workers take, finish, give back and die in an order of chance; what they die of is known."""
    chance = random.Random(seed)
    names = {queue: [f"{queue}-{i}" for i in range(150)] for queue in ("events", "payouts")}
    for queue, queued in names.items():
        fill(client, queue, *queued)
    deadly = set(chance.sample([name for queued in names.values() for name in queued], 3))
    watcher = Worker(client, "watcher")
    workers = [Worker(client, f"worker-{i}") for i in range(4)]
    held: dict[Worker, dict[str, list[str]]] = {worker: {} for worker in workers}
    buried: set[str] = set()
    for _ in range(20_000):
        if not any(client.hlen(f"payspool:{queue}.msgs") for queue in names):
            break
        place = chance.randrange(len(workers))
        worker, queue = workers[place], chance.choice(list(names))
        mine = held[worker].setdefault(queue, [])
        what = chance.random()
        if what < 0.5:
            for taken in worker.fetch(queue, messages=chance.choice((1, 10, 60))).taken:
                if taken.deaths >= DEATHS_MAX:
                    worker.scripts.dead_letter(queue, taken.id, "killed its worker")
                    buried.add(taken.id)
                else:
                    mine.append(taken.id)
        elif mine and what < 0.55:
            assert worker.scripts.give_back(queue, held=(), failed=True) == len(mine)
            mine.clear()
        elif mine and set(mine[:10]) & deadly:
            client.zrem("payspool:heartbeats", worker.name)
            watcher.scripts.heartbeat(gap=4, timeout=8)
            watcher.scripts.return_of_the_dead(gap=4, timeout=8)
            workers[place] = Worker(client, f"{worker.name}+")
            held[workers[place]] = {}
        elif mine:
            worker.scripts.ack(queue, mine[:10])
            del mine[:10]
    assert buried == deadly
    assert not any(client.hlen(f"payspool:{queue}.msgs") for queue in names), "all others are done"


def test_apart_means_from_all_queues_and_busy_ones_do_not_starve_it(client: redis.Redis) -> None:
    me = Worker(client, "me")
    fill(client, "payouts", "p", "q")
    assert [taken.id for taken in me.fetch("payouts", messages=1).taken] == ["p"]
    fill(client, "events", "a", died=1)
    assert me.fetch().held_up == "apart"
    assert me.fetch("payouts").held_up == "apart", "its turn is next"
    me.scripts.ack("payouts", ["p"])
    assert me.fetch("payouts").held_up == "apart"
    assert me.take() == ["a"]
    assert me.fetch("payouts").held_up == "apart", "while it runs"
    me.scripts.retry("events", "a", backoff=60)
    assert me.take("payouts") == ["q"]


def test_a_turn_that_another_worker_took_is_given_up(client: redis.Redis) -> None:
    me = Worker(client, "me")
    fill(client, "payouts", "p", "q")
    me.fetch("payouts", messages=1)
    fill(client, "events", "a", died=1)
    assert me.fetch().held_up == "apart"
    assert Worker(client, "other").take() == ["a"]
    assert me.take() == []
    assert me.take("payouts") == ["q"]
