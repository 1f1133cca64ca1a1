from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from payspool_client import Publisher
from queues import LivenessSettings
from queues.inspect import inspect
from queues.scripts import Scripts
from tests.queues.support import WorkerProcess, event, read_records, wait_until

Start = Callable[..., WorkerProcess]
QUICK = {"beat": 0.4, "timeout": 1.6, "sweep": 0.2}


def done_ids(folder: Path) -> list[str]:
    return [id_ for record in read_records(folder, "done") for id_ in record["ids"]]


def hold_a_batch(
    publisher: Publisher, start_worker: Start, url: str, folder: Path, **options: object
) -> WorkerProcess:
    """A worker in the middle of e-0 to e-49, with e-50 to e-99 ready in its memory."""
    publisher.publish_many((event(i) for i in range(100)), chunk=1)
    (folder / "hold").touch()
    worker = start_worker(url, limits={"messages": 50}, **options)
    wait_until(lambda: worker.records("begun"))
    time.sleep(0.3)
    return worker


def test_what_a_killed_worker_held_is_processed_by_another_in_order(
    client: redis.Redis, publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    victim = hold_a_batch(publisher, start_worker, url, tmp_path, liveness=QUICK)
    (state,) = inspect(client, "payspool", ["events"])
    assert (state.ready, state.in_flight, state.orphans) == (0, 100, 0)
    victim.kill()
    (tmp_path / "hold").unlink()
    other = start_worker(url, limits={"messages": 50}, liveness=QUICK)
    wait_until(lambda: len(done_ids(tmp_path)) >= 100)
    assert done_ids(tmp_path) == [f"e-{i}" for i in range(100)]
    assert all(record["redelivered"] == 1 for record in other.records("done"))
    wait_until(lambda: client.hlen("payspool:events.msgs") == 0)
    assert not client.exists("payspool:events.tries")


@pytest.mark.slow
def test_with_the_settings_of_production_they_are_back_within_fifteen_seconds(
    publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    victim = hold_a_batch(publisher, start_worker, url, tmp_path)
    survivor = start_worker(url)
    wait_until(lambda: survivor.records("ready"))
    victim.kill()
    killed = time.time()
    (tmp_path / "hold").unlink()
    wait_until(lambda: len(done_ids(tmp_path)) >= 100, 15)
    assert done_ids(tmp_path) == [f"e-{i}" for i in range(100)]
    assert read_records(tmp_path, "done")[0]["at"] - killed > 5


def test_a_live_workers_messages_stay_its_own_however_long_it_takes(
    publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    hold_a_batch(publisher, start_worker, url, tmp_path, liveness=QUICK)
    start_worker(url, liveness=QUICK)
    time.sleep(4)
    assert len(read_records(tmp_path, "begun")) == 1
    (tmp_path / "hold").unlink()
    wait_until(lambda: len(done_ids(tmp_path)) >= 100)
    assert sorted(done_ids(tmp_path)) == sorted(f"e-{i}" for i in range(100))


def test_a_worker_that_was_taken_for_dead_cannot_finish_what_is_now_anothers(
    client: redis.Redis, publisher: Publisher, start_worker: Start, url: str, tmp_path: Path
) -> None:
    slow = hold_a_batch(publisher, start_worker, url, tmp_path, liveness=QUICK)
    slow.process.send_signal(signal.SIGSTOP)
    other = start_worker(url, limits={"messages": 50}, liveness=QUICK)
    wait_until(lambda: other.records("begun"), what="the messages are with the other one")
    slow.process.send_signal(signal.SIGCONT)
    (tmp_path / "hold").unlink()
    wait_until(lambda: len(done_ids(tmp_path)) >= 200)
    again = [record for record in read_records(tmp_path, "done") if record["redelivered"]]
    assert sorted(id_ for record in again for id_ in record["ids"]) == sorted(
        f"e-{i}" for i in range(100)
    )
    wait_until(lambda: client.hlen("payspool:events.msgs") == 0)
    assert client.llen("payspool:events") == 0


class Owners:
    """Owners without processes: what they do, one step at a time."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.settings = LivenessSettings(beat=0.1, timeout=0.4, sweep=0.1)

    def of(self, owner: str) -> Scripts:
        return Scripts(self.client, "payspool", owner)

    def beat(self, owner: str) -> None:
        self.of(owner).heartbeat(gap=self.settings.gap, timeout=self.settings.timeout)

    def sweep(self) -> dict[str, int]:
        return self.of("janitor").return_of_the_dead(
            gap=self.settings.gap, timeout=self.settings.timeout
        )

    def beat_for(self, seconds: float, *owners: str) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for owner in owners:
                self.beat(owner)
            time.sleep(0.05)


@pytest.fixture
def owners(client: redis.Redis) -> Owners:
    return Owners(client)


def fetch(scripts: Scripts, most: int) -> list[str]:
    return [taken.id for taken in scripts.fetch("events", messages=most, size=1 << 20).taken]


def test_acknowledging_leaves_a_new_owners_messages_alone(
    client: redis.Redis, publisher: Publisher, owners: Owners
) -> None:
    publisher.publish_many((event(i) for i in range(4)), chunk=1)
    slow, new = owners.of("slow"), owners.of("new")
    ids = fetch(slow, 4)
    owners.beat("slow")
    owners.beat_for(0.6, "new")
    assert owners.sweep() == {"events": 4}
    assert fetch(new, 2) == ids[:2]
    assert slow.ack("events", ids) == 0
    assert slow.give_back("events", held=(), failed=True) == 0
    assert not slow.retry("events", ids[0], backoff=1)
    assert not slow.dead_letter("events", ids[0], "?")
    assert client.hlen("payspool:events.msgs") == 4
    assert new.ack("events", ids) == 2
    assert fetch(new, 4) == ids[2:]


def test_only_the_silent_are_judged_and_their_messages_go_back_in_order(
    client: redis.Redis, publisher: Publisher, owners: Owners
) -> None:
    publisher.publish_many((event(i) for i in range(6)), chunk=1)
    alive, dead = owners.of("alive"), owners.of("dead")
    first, second = fetch(dead, 2), fetch(alive, 2)
    third = fetch(dead, 1)
    owners.beat("dead")
    owners.beat_for(0.6, "alive")
    assert owners.sweep() == {"events": 3}
    assert owners.sweep() == {}
    assert alive.ack("events", second) == 2
    back = []
    while taken := fetch(alive, 6):
        back += taken
        alive.ack("events", taken)
    assert back[:3] == first + third
    assert len(back) == 4
    assert client.zrange("payspool:heartbeats", 0, -1) == [b"alive"]


def test_nobody_is_judged_until_a_timeout_after_the_server_was_away(
    publisher: Publisher, owners: Owners
) -> None:
    publisher.publish(event(1))
    fetch(owners.of("a"), 1)
    owners.beat("a")
    time.sleep(0.7)  # nobody can be heard of
    assert owners.sweep() == {}, "no one is heard of"
    owners.beat("b")
    assert owners.sweep() == {}, "a has had no time to be heard of again"
    owners.beat_for(0.2, "b")
    assert owners.sweep() == {}
    owners.beat_for(0.4, "b")
    assert owners.sweep() == {"events": 1}


def test_a_worker_that_comes_back_in_the_grace_keeps_its_messages(
    publisher: Publisher, owners: Owners
) -> None:
    publisher.publish(event(1))
    fetch(owners.of("a"), 1)
    time.sleep(0.7)
    owners.beat("b")
    owners.beat_for(0.8, "a", "b")
    assert owners.sweep() == {}


def test_a_clock_that_was_set_back_does_not_keep_the_dead_alive(
    client: redis.Redis, publisher: Publisher, owners: Owners
) -> None:
    publisher.publish(event(1))
    fetch(owners.of("dead"), 1)
    future = int(client.time()[0] * 1000) + 3_600_000
    client.zadd("payspool:heartbeats", {"dead": future})
    client.set("payspool:grace", future)
    owners.beat("alive")
    assert owners.sweep() == {}
    owners.beat_for(0.6, "alive")
    assert owners.sweep() == {"events": 1}


def test_an_owner_that_takes_before_its_first_heartbeat_is_not_dead(
    publisher: Publisher, owners: Owners
) -> None:
    publisher.publish(event(1))
    owners.beat("other")
    fetch(owners.of("new"), 1)
    assert owners.sweep() == {}


@pytest.mark.parametrize("wrong", [{"beat": 3.0}, {"beat": 0.0}, {"sweep": 0.0}])
def test_settings_that_would_call_the_living_dead_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        LivenessSettings(**wrong)
