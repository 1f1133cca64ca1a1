"""Paused queues, on real worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from payspool_client import Publisher
from queues import AlreadyPaused, NotPaused, Pause, Pauses
from queues.inspect import inspect
from queues.send import Outgoing, enqueue_many
from tests.queues.support import WorkerProcess, event, read_records, wait_until

Start = Callable[..., WorkerProcess]


class Notes:
    """A log in memory, that may refuse."""

    def __init__(self) -> None:
        self.said: list[tuple[str, ...]] = []
        self.away = False

    def paused(self, queue: str, reason: str) -> None:
        self._note("paused", queue, reason)

    def resumed(self, queue: str, pause: Pause) -> None:
        self._note("resumed", queue, pause.by)

    def _note(self, *words: str) -> None:
        if self.away:
            raise OSError("nobody writes it down")
        self.said.append(words)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def pauses(client: redis.Redis) -> Pauses:
    return Pauses(client, "payspool")


def done(folder: Path) -> int:
    return len(read_records(folder, "done"))


def test_a_paused_queue_hands_out_nothing_and_finishes_what_was_taken(
    client: redis.Redis,
    publisher: Publisher,
    pauses: Pauses,
    notes: Notes,
    start_worker: Start,
    url: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "hold").touch()
    publisher.publish(event(0))
    worker = start_worker(url, queues=["events", "payouts"])
    wait_until(lambda: worker.records("begun"))
    pauses.pause("events", by="ada", reason="checking", log=notes)
    publisher.publish_many((event(i) for i in range(1, 6)), chunk=1)
    (tmp_path / "hold").unlink()
    wait_until(lambda: done(tmp_path) == 1)
    enqueue_many(client, [Outgoing("payouts", "payouts.send", (7,))])
    wait_until(lambda: done(tmp_path) == 2, what="other queues go on")
    time.sleep(1)
    (state,) = inspect(client, "payspool", ["events"])
    assert (state.ready, state.in_flight, done(tmp_path)) == (5, 0, 2)
    pauses.resume("events", log=notes)
    assert wait_until(lambda: client.hlen("payspool:events.msgs") == 0) < 3
    assert notes.said == [("paused", "events", "checking"), ("resumed", "events", "ada")]


def test_a_pause_outlives_workers_and_holds_for_new_ones(
    client: redis.Redis,
    publisher: Publisher,
    pauses: Pauses,
    notes: Notes,
    start_worker: Start,
    url: str,
    tmp_path: Path,
) -> None:
    pauses.pause("events", by="ada", reason="checking", log=notes)
    publisher.publish(event(0))
    worker = start_worker(url)
    wait_until(lambda: worker.records("ready"))
    time.sleep(1)
    assert worker.terminate() == 0
    assert done(tmp_path) == 0
    assert client.llen("payspool:events") == 1


def test_a_pause_says_who_when_and_why(pauses: Pauses, notes: Notes) -> None:
    pauses.pause("payouts", by="ada", reason="the bank calls", log=notes)
    (pause,) = pauses.all().values()
    assert (pause.queue, pause.by, pause.reason) == ("payouts", "ada", "the bank calls")
    assert abs(datetime.now(UTC) - pause.at) < timedelta(minutes=1)
    with pytest.raises(AlreadyPaused, match=r"by ada at .* the bank calls"):
        pauses.pause("payouts", by="bob", reason="?", log=notes)
    assert pauses.of("payouts") == pause
    assert pauses.of("events") is None
    with pytest.raises(NotPaused, match="queue list"):
        pauses.resume("events", log=notes)


def test_stopping_works_without_a_log_and_going_on_does_not(pauses: Pauses, notes: Notes) -> None:
    notes.away = True
    with pytest.raises(OSError, match="writes it down"):
        pauses.pause("payouts", by="ada", reason="now!", log=notes)
    assert pauses.of("payouts")
    with pytest.raises(OSError, match="writes it down"):
        pauses.resume("payouts", log=notes)
    assert pauses.of("payouts")


def test_a_pause_that_was_set_by_hand_holds_and_is_shown(
    client: redis.Redis, pauses: Pauses
) -> None:
    client.hset("payspool:paused", "events", b"\xff me")
    pause = pauses.of("events")
    assert pause is not None
    assert (pause.by, pause.reason) == ("unknown", "\ufffd me")


def test_a_full_server_can_still_be_stopped(
    client: redis.Redis, pauses: Pauses, notes: Notes
) -> None:
    client.config_set("maxmemory", 1)
    try:
        pauses.pause("events", by="ada", reason="a flood", log=notes)
        pauses.resume("events", log=notes)
    finally:
        client.config_set("maxmemory", 0)
    assert [words[0] for words in notes.said] == ["paused", "resumed"]


def test_a_resume_ends_the_pause_that_was_seen_and_no_later_one(
    client: redis.Redis, pauses: Pauses
) -> None:
    class Slow(Notes):
        def resumed(self, queue: str, pause: Pause) -> None:
            # Meanwhile it was resumed by another, and paused by a third.
            pauses.resume("events", log=Notes())
            pauses.pause("events", by="cyd", reason="mine", log=Notes())

    pauses.pause("events", by="ada", reason="checking", log=Notes())
    with pytest.raises(NotPaused):
        pauses.resume("events", log=Slow())
    pause = pauses.of("events")
    assert pause is not None
    assert pause.by == "cyd"
