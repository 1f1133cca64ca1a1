"""Who works, as each worker says of itself; and one that is told to take nothing more."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from payspool_client import Publisher
from queues import NoSuchWorker, NotQuiet, Quiet, Workforce
from tests.queues.support import WorkerProcess, event, wait_until

Start = Callable[..., WorkerProcess]


class Notes:
    """A log in memory."""

    def __init__(self) -> None:
        self.said: list[tuple[str, ...]] = []

    def quieted(self, worker: str, reason: str) -> None:
        self.said.append(("quieted", worker, reason))

    def woken(self, worker: str, quiet: Quiet) -> None:
        self.said.append(("woken", worker, quiet.by))


def done(worker: WorkerProcess) -> int:
    return sum(record["messages"] for record in worker.records("done"))


@pytest.fixture
def workforce(client: redis.Redis) -> Workforce:
    return Workforce(client, "payspool")


def test_a_worker_tells_where_it_is_and_what_it_is_at(
    publisher: Publisher, workforce: Workforce, start_worker: Start, url: str, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    worker = start_worker(url)
    publisher.publish(event(0))
    wait_until(lambda: worker.records("begun"))
    wait_until(
        lambda: [one for one in workforce.all() if one.current], what="it says what it is at"
    )
    [state] = workforce.all()
    assert state.pid == worker.pid
    assert state.queues == ("events",)
    assert state.memory_bytes > 2**20
    assert state.heard_seconds < 8
    [current] = state.current
    assert (current.queue, current.messages) == ("events", 1)
    assert current.seconds >= 0
    (tmp_path / "hold").unlink()
    wait_until(lambda: not workforce.all()[0].current, what="it is idle again")
    assert worker.terminate() == 0
    assert workforce.all() == []


def test_a_quiet_worker_takes_nothing_while_the_other_goes_on_until_it_is_woken(
    publisher: Publisher, workforce: Workforce, start_worker: Start, url: str
) -> None:
    first, second = start_worker(url), start_worker(url)
    wait_until(lambda: len([one for one in workforce.all() if one.pid]) == 2)
    names = {one.pid: one.name for one in workforce.all()}
    notes = Notes()
    name = names[first.pid]
    assert workforce.quiet(name[:8], by="ada", reason="its memory", log=notes) == name
    publisher.publish_many((event(i) for i in range(20)), chunk=1)
    wait_until(lambda: done(second) == 20)
    assert first.records("begun") == []
    [quiet] = [one.quiet for one in workforce.all() if one.quiet]
    assert (quiet.by, quiet.reason) == ("ada", "its memory")
    workforce.wake(name[:8], log=notes)
    workforce.quiet(names[second.pid], by="ada", reason="now this one", log=notes)
    publisher.publish_many((event(i) for i in range(20, 30)), chunk=1)
    wait_until(lambda: done(first) == 10)
    assert [said[0] for said in notes.said] == ["quieted", "woken", "quieted"]


def test_a_worker_that_died_leaves_nothing_behind(
    client: redis.Redis, workforce: Workforce, start_worker: Start, url: str
) -> None:
    died, lives = start_worker(url), start_worker(url)
    wait_until(lambda: len([one for one in workforce.all() if one.pid]) == 2)
    name = next(one.name for one in workforce.all() if one.pid == died.pid)
    workforce.quiet(name, by="ada", reason="it is next", log=Notes())
    died.kill()
    wait_until(lambda: not client.hexists("payspool:quiet", name), 20)
    assert not client.hexists("payspool:workers", name)
    assert [one.pid for one in workforce.all()] == [lives.pid]


def test_a_name_must_say_which(workforce: Workforce, start_worker: Start, url: str) -> None:
    start_worker(url)
    wait_until(lambda: [one for one in workforce.all() if one.pid])
    [state] = workforce.all()
    for name in ("", "nobody"):
        with pytest.raises(NoSuchWorker, match="queue workers"):
            workforce.quiet(name, by="ada", reason="?", log=Notes())
    with pytest.raises(NotQuiet):
        workforce.wake(state.name, log=Notes())


def test_no_argument_of_a_message_is_told(
    client: redis.Redis, start_worker: Start, url: str
) -> None:
    start_worker(url)
    wait_until(lambda: client.hlen("payspool:workers") == 1)
    [said] = client.hvals("payspool:workers")
    assert os.sep not in said.decode()
    assert b"args" not in said
