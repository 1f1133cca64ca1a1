"""Who is alive, and what becomes of the messages of those who are not.

Each worker process says every two seconds that it lives, from a thread of its own, on a connection
of its own, whatever its consumers and actors are doing. Every process also runs the janitor; that
many run it at once is harmless, because one pass is one script.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import redis

from queues.connection import connect
from queues.scripts import Scripts

log = logging.getLogger(__name__)

#: A call that takes longer than this has missed its beat anyway.
LIVENESS_TIMEOUT_SECONDS: Final = 2.0
#: How soon after a failure to try again: a server that is back must hear from us before it judges.
RETRY_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class LivenessSettings:
    """Seconds: between heartbeats, of silence until a process counts as dead, between the janitor's
    passes. A dead worker's messages are back after at most timeout + sweep."""

    beat: float = 2.0
    timeout: float = 8.0
    sweep: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < 3 * self.beat <= self.timeout:
            raise ValueError("timeout must be at least three beats, or a hiccup looks like death.")
        if self.sweep <= 0:
            raise ValueError("sweep must be greater than 0.")

    @property
    def gap(self) -> float:
        """Silence of all processes for so long means that the server was away, not they."""
        return 2 * self.beat


class Repeater(threading.Thread):
    """Calls something every so often until stopped; outlives a server that is away."""

    def __init__(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._seconds = seconds
        self._call = call
        self._stopped = threading.Event()

    def run(self) -> None:
        away = False
        pause = 0.0
        while not self._stopped.wait(pause):
            try:
                self._call()
            except Exception as error:
                # Whatever it is: a process that falls silent loses its messages to the janitor.
                if not away and isinstance(error, redis.RedisError):
                    log.warning("The %s cannot reach Redis: %s", self.name, error)
                elif not away:
                    log.exception("The %s failed.", self.name)
                away = True
                pause = min(RETRY_SECONDS, self._seconds)
            else:
                if away:
                    log.info("The %s reaches Redis again.", self.name)
                away = False
                pause = self._seconds

    def stop(self) -> None:
        """End after the current call."""
        self._stopped.set()
        self.join(2 * LIVENESS_TIMEOUT_SECONDS)


class Liveness:
    """Heartbeat and janitor of one process. ``about`` is what the heartbeat says of it."""

    def __init__(
        self,
        url: str,
        namespace: str,
        owner: str,
        settings: LivenessSettings,
        about: Callable[[], str] = str,
    ) -> None:
        self._settings = settings
        self._about = about
        self._client = connect(
            url, connect_timeout=LIVENESS_TIMEOUT_SECONDS, read_timeout=LIVENESS_TIMEOUT_SECONDS
        )
        self._scripts = Scripts(self._client, namespace, owner)
        self._threads: list[Repeater] = []

    def start(self) -> None:
        """Begin, with a heartbeat at once."""
        self._threads = [
            Repeater("heartbeat", self._settings.beat, self._beat),
            Repeater("janitor", self._settings.sweep, self._sweep),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both, and the connection."""
        for thread in self._threads:
            thread.stop()
        self._client.close()

    def _beat(self) -> None:
        self._scripts.heartbeat(
            gap=self._settings.gap, timeout=self._settings.timeout, about=self._about()
        )

    def _sweep(self) -> None:
        returned = self._scripts.return_of_the_dead(
            gap=self._settings.gap, timeout=self._settings.timeout
        )
        for queue, count in returned.items():
            log.warning("Returned %s messages of dead workers to %s.", count, queue)
