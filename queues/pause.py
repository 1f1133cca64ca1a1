"""Pausing queues: nobody takes messages from a paused queue; what was taken is finished.

The pause lies in Redis, where every fetch sees it (`scripts/fetch.lua`), with who asked for it, when
and why. It holds until somebody resumes the queue.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import redis

from queues import keys
from queues.errors import QueuesError, lost_connections_are_closed
from queues.scripts import source


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a queue stands still. `at` is UTC by the server's clock."""

    queue: str
    by: str
    at: datetime
    reason: str


class PauseLog(Protocol):
    """Where it is kept who paused and resumed what."""

    def paused(self, queue: str, reason: str) -> None:
        """A queue was paused."""

    def resumed(self, queue: str, pause: Pause) -> None:
        """A queue is about to be resumed, which was paused like this."""


class AlreadyPaused(QueuesError):
    """A queue that is to be paused is paused.

    Attributes:
        pause: By whom, when and why.
    """

    def __init__(self, pause: Pause) -> None:
        super().__init__(
            f"{pause.queue} was paused by {pause.by} at {pause.at:%Y-%m-%d %H:%M:%S} UTC already: "
            f"{pause.reason}"
        )
        self.pause = pause


class NotPaused(QueuesError):
    """A queue that is to be resumed is not paused.

    Attributes:
        queue: Its name.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(f"{queue} is not paused. See `payspool queue list`.")
        self.queue = queue


class Pauses:
    """The paused queues of one namespace.

    Raises (all methods): ConnectionClosed if the server does not answer.
    """

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._key = keys.paused(namespace)

    def pause(self, queue: str, *, by: str, reason: str, log: PauseLog) -> Pause:
        """Stop everybody from taking messages of a queue.

        The queue stands still first and the log hears of it second: stopping must work while the
        log is away.

        Raises:
            AlreadyPaused: It is; the pause that is there stays.
            Exception: The log's; the queue is paused.
        """
        said = json.dumps({"by": by, "reason": reason})
        with lost_connections_are_closed():
            script = self._client.register_script(source("pause"))
            fresh, value = script(keys=[self._key], args=[queue, said.removesuffix("}")])
        pause = _pause(queue, value)
        if not fresh:
            raise AlreadyPaused(pause)
        log.paused(queue, reason)
        return pause

    def resume(self, queue: str, *, log: PauseLog) -> Pause:
        """Let messages be taken again; returns the pause that ends. The log hears of it first.

        Raises:
            NotPaused: It is not, or another pause took the place of the one that was seen.
            Exception: The log's; the queue stays paused.
        """
        with lost_connections_are_closed():
            value: Any = self._client.hget(self._key, queue)
        if value is None:
            raise NotPaused(queue)
        pause = _pause(queue, value)
        log.resumed(queue, pause)
        with lost_connections_are_closed():
            script = self._client.register_script(source("resume"))
            still = script(keys=[self._key], args=[queue, value])
        if not still:
            raise NotPaused(queue)
        return pause

    def restore(self, pause: Pause) -> bool:
        """Bring a pause back that the server lost; False if the queue is paused."""
        said = {"by": pause.by, "reason": pause.reason, "at": int(pause.at.timestamp())}
        with lost_connections_are_closed():
            return bool(self._client.hsetnx(self._key, pause.queue, json.dumps(said)))

    def of(self, queue: str) -> Pause | None:
        """The pause of a queue, if it is paused."""
        with lost_connections_are_closed():
            value: Any = self._client.hget(self._key, queue)
        return None if value is None else _pause(queue, value)

    def all(self) -> dict[str, Pause]:
        """Every paused queue."""
        with lost_connections_are_closed():
            found: Any = self._client.hgetall(self._key)
        return {
            name.decode(): _pause(name.decode(), value) for name, value in sorted(found.items())
        }


def _pause(queue: str, value: bytes) -> Pause:
    try:
        said = json.loads(value)
        at = datetime.fromtimestamp(said["at"], UTC)
        return Pause(queue, said["by"], at, said["reason"])
    except (ValueError, KeyError, TypeError):
        # Whoever set it by hand meant it: the scripts hold the queue whatever the value says.
        at = datetime.fromtimestamp(0, UTC)
        return Pause(queue, "unknown", at, value.decode(errors="replace")[:500])
