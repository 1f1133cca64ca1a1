"""Who works: what each worker process says of itself with its heartbeat, and quieting one of them.

A quiet worker finishes what it holds and takes nothing more; its process lives on. That is for looking
at one process while the others go on: a pause (`queues.pause`) stops a queue for all of them.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import psutil
import redis
from dramatiq import Broker, MessageProxy, Middleware

from queues import keys
from queues.errors import QueuesError, lost_connections_are_closed
from queues.liveness import LivenessSettings

#: Of each worker's messages at most so many are told, the longest running first.
CURRENT_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Current:
    """What a thread of a worker is at: an actor's message, or a batch of `messages`, for `seconds`."""

    queue: str
    actor: str
    messages: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Quiet:
    """Why a worker takes nothing. `at` is UTC by the server's clock."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker process as it last said.

    Attributes:
        name: Its name on the queues.
        queues, threads: What it takes messages from, and how many actors it runs at a time.
        started_at: UTC, by its machine's clock.
        memory_bytes: Its resident memory.
        heard_seconds: How long ago it was heard of, by the server's clock.
        current: What it is at, the longest running first.
        quiet: Why it takes nothing more, if it was told to.
    """

    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    threads: int
    started_at: datetime | None
    memory_bytes: int
    heard_seconds: float
    current: tuple[Current, ...]
    quiet: Quiet | None


class QuietLog(Protocol):
    """Where it is kept who quieted and woke which worker."""

    def quieted(self, worker: str, reason: str) -> None:
        """A worker was told to take nothing more."""

    def woken(self, worker: str, quiet: Quiet) -> None:
        """A worker that was quiet like this may take messages again."""


class NoSuchWorker(QueuesError):
    """No worker, or more than one, has a name that begins so.

    Attributes:
        name: What was asked for.
        found: The workers whose names begin so.
    """

    def __init__(self, name: str, found: Collection[str]) -> None:
        what = f"{len(found)} workers have names" if found else "No worker has a name"
        super().__init__(
            f"{what} that begin with {name!r}. `payspool queue workers` lists them."
            if found
            else f"{what} that begins with {name!r}. `payspool queue workers` lists them."
        )
        self.name, self.found = name, tuple(found)


class NotQuiet(QueuesError):
    """A worker that is to be woken is not quiet.

    Attributes:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"The worker {name} is not quiet. See `payspool queue workers`.")
        self.name = name


class AtWork(Middleware):
    """Knows what each thread of this process is at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, tuple[MessageProxy, float]] = {}
        self._queues: tuple[str, ...] = ()
        self._threads = 0
        self._started = time.time()

    def role(self, queues: Collection[str], threads: int) -> None:
        """Say what this process is for."""
        self._queues, self._threads = tuple(sorted(queues)), threads

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002
        with self._lock:
            self._running[threading.get_ident()] = (message, time.monotonic())

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002
        message: MessageProxy,  # noqa: ARG002
        *,
        result: Any = None,  # noqa: ARG002
        exception: BaseException | None = None,  # noqa: ARG002
    ) -> None:
        with self._lock:
            self._running.pop(threading.get_ident(), None)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self.after_process_message(broker, message)

    def told(self) -> str:
        """This process as JSON, for its heartbeat. No argument of a message is in it."""
        now = time.monotonic()
        with self._lock:
            running = sorted(self._running.values(), key=lambda one: one[1])[:CURRENT_MAX]
        return json.dumps(
            {
                "host": socket.gethostname()[:255],
                "pid": os.getpid(),
                "queues": self._queues,
                "threads": self._threads,
                "started": int(self._started),
                "memory": psutil.Process().memory_info().rss,
                "current": [
                    [one.queue_name, one.actor_name, len(getattr(one, "ids", "1")), now - since]
                    for one, since in running
                ],
            }
        )


class Workforce:
    """The worker processes of one namespace.

    Raises (all methods): ConnectionClosed if the server does not answer.
    """

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def all(self, *, timeout: float = LivenessSettings().timeout) -> list[WorkerState]:
        """Every worker that was heard of within `timeout` seconds, by host and process id."""
        with lost_connections_are_closed():
            pipe = self._client.pipeline(transaction=True)
            pipe.time()
            pipe.zrange(keys.heartbeats(self._namespace), 0, -1, withscores=True)
            pipe.hgetall(keys.workers(self._namespace))
            pipe.hgetall(keys.quiet(self._namespace))
            (seconds, micros), beats, about, quiet = pipe.execute()
        now = seconds * 1000 + micros / 1000
        states = [
            _worker(name.decode(), about.get(name), (now - beat) / 1000, quiet.get(name))
            for name, beat in beats
            if now - beat <= timeout * 1000
        ]
        return sorted(states, key=lambda state: (state.host, state.pid, state.name))

    def quiet(self, name: str, *, by: str, reason: str, log: QuietLog) -> str:
        """Let a worker take nothing more; returns its whole name. It is quiet before the log hears of it.

        Parameters:
            name: The beginning of its name.

        Raises:
            NoSuchWorker: None is called so, or several are.
            Exception: The log's; the worker is quiet.
        """
        worker = self._named(name)
        said = json.dumps({"by": by, "reason": reason}).removesuffix("}")
        with lost_connections_are_closed():
            script = self._client.register_script(_script())
            script(keys=[keys.quiet(self._namespace)], args=[worker, said])
        log.quieted(worker, reason)
        return worker

    def wake(self, name: str, *, log: QuietLog) -> str:
        """Let a quiet worker take messages again; returns its whole name. The log hears of it first.

        Raises:
            NoSuchWorker: None is called so, or several are.
            NotQuiet: It takes messages.
            Exception: The log's; the worker stays quiet.
        """
        worker = self._named(name)
        with lost_connections_are_closed():
            value: Any = self._client.hget(keys.quiet(self._namespace), worker)
        if value is None:
            raise NotQuiet(worker)
        log.woken(worker, _quiet(value))
        with lost_connections_are_closed():
            self._client.hdel(keys.quiet(self._namespace), worker)
        return worker

    def _named(self, beginning: str) -> str:
        found = [one.name for one in self.all() if beginning and one.name.startswith(beginning)]
        if len(found) != 1:
            raise NoSuchWorker(beginning, found)
        return found[0]


@cache
def _script() -> str:
    # The same act: a field that is set once, with the server's time.
    return (Path(__file__).parent / "scripts" / "pause.lua").read_text()


def _worker(name: str, about: bytes | None, heard: float, quiet: bytes | None) -> WorkerState:
    said: dict[str, Any] = json.loads(about) if about else {}
    started = said.get("started")
    return WorkerState(
        name,
        host=said.get("host", ""),
        pid=said.get("pid", 0),
        queues=tuple(said.get("queues", ())),
        threads=said.get("threads", 0),
        started_at=None if started is None else datetime.fromtimestamp(started, UTC),
        memory_bytes=said.get("memory", 0),
        heard_seconds=max(0.0, heard),
        current=tuple(Current(*one) for one in said.get("current", ())),
        quiet=None if quiet is None else _quiet(quiet),
    )


def _quiet(value: bytes) -> Quiet:
    try:
        said = json.loads(value)
        return Quiet(said["by"], datetime.fromtimestamp(said["at"], UTC), said["reason"])
    except (ValueError, KeyError, TypeError):
        # Whoever set it by hand meant it, whatever the value says.
        return Quiet(
            "unknown", datetime.fromtimestamp(0, UTC), value.decode(errors="replace")[:500]
        )
