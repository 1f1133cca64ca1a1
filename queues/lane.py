"""What this process holds of one queue.

Dramatiq makes a new consumer after each lost connection, while its worker threads still work on
messages of the one before. What is held must outlive the consumer, so it is kept here, one lane a
queue, shared by the consumer's thread (which takes messages and gives back) and the worker threads
(which finish them).
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dramatiq import Message, MessageProxy

from queues.scripts import Taken

#: How long a failed batch waits, doubling with each failure in a row.
BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 15.0


class HeldMessage(MessageProxy):
    """What a worker thread processes: one message, or a batch as one.

    An exception marks it as failed right here, so that whatever a middleware does or fails to do, a
    failed message is never acknowledged.

    Attributes:
        ids: The Redis ids of the messages in it.
        tries: How often it failed, or its worker died, before.
        taken: The message as it came off the queue, if it is one.
        failure: What its actor raised.
    """

    def __init__(
        self,
        message: Message[Any],
        ids: tuple[str, ...],
        tries: int,
        taken: Taken | None = None,
    ) -> None:
        super().__init__(message)
        self.taken = taken
        self.ids = ids
        self.tries = tries
        self.failure: BaseException | None = None

    def stuff_exception(self, exception: BaseException) -> None:
        """Remember the exception and fail."""
        super().stuff_exception(exception)
        self.failure = exception
        self.fail()

    def clear_exception(self) -> None:
        """Forget the exception (it keeps its frames alive)."""
        super().clear_exception()
        self.failure = None


@dataclass(frozen=True, slots=True)
class Strays:
    """Messages that the server holds for us beside those that we hold; `failed`: at our hands."""

    held: frozenset[str]
    failed: bool


class Lane:
    """The messages of one queue that this process holds, ready or being processed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[str] = set()
        self._ready: deque[HeldMessage] = deque()
        self._outstanding = 0
        self._failures = 0
        self._paused_until = 0.0
        self._strays = True
        self._strays_failed = False
        self._releases = 0

    def accept(self, messages: Sequence[HeldMessage], in_flight: int) -> None:
        """These are ours now, and ready; `in_flight` is how many the server holds for us."""
        with self._changed:
            for message in messages:
                self._held.update(message.ids)
            self._ready.extend(messages)
            if in_flight > len(self._held):
                # The answer to an earlier fetch was lost after the server had run it.
                self._strays = True

    def next_ready(self) -> HeldMessage | None:
        """Hand out a message; it is outstanding until it is finished, failed or let go."""
        with self._changed:
            if not self._ready:
                return None
            self._outstanding += 1
            return self._ready.popleft()

    def drop_ready(self) -> None:
        """Let go of what was not handed out."""
        with self._changed:
            for message in self._ready:
                self._held.difference_update(message.ids)
            self._ready.clear()
            self._strays = True

    def abandon(self) -> None:
        """Let go of everything, handed out or not: the process ends."""
        with self._changed:
            self._ready.clear()
            self._held.clear()
            self._strays = True

    def room(self, most: int) -> int:
        """How many more may be outstanding."""
        with self._changed:
            return most - self._outstanding

    def empty(self) -> bool:
        """Whether nothing is outstanding, and nothing has to go back."""
        with self._changed:
            return self._outstanding == 0 and not self._strays

    def wait_for_room(self, most: int, seconds: float) -> bool:
        """Wait until fewer than `most` are outstanding."""
        with self._changed:
            return self._changed.wait_for(lambda: self._outstanding < most, seconds)

    def releases(self) -> int:
        """How often something was released so far; for `wait_for_release`."""
        with self._changed:
            return self._releases

    def wait_for_release(self, since: int, seconds: float) -> None:
        """Wait until something was released after `releases` gave `since`, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._releases != since, seconds)

    def wait_out_backoff(self, seconds: float) -> bool:
        """Wait for the end of the backoff, at most so long; whether it is over."""
        with self._changed:
            return self._changed.wait_for(
                lambda: time.monotonic() >= self._paused_until,
                min(seconds, max(0.0, self._paused_until - time.monotonic())),
            )

    def finish(self, message: HeldMessage) -> None:
        """It was processed and is off the queue."""
        with self._changed:
            self._failures = 0
            self._paused_until = 0.0
            self._release(message)

    def let_go(self, message: HeldMessage) -> None:
        """It is no longer ours to process; what the server still holds for us goes back."""
        with self._changed:
            self._strays = True
            self._release(message)

    def put_aside(self, message: HeldMessage) -> None:
        """It is off the queue, and says nothing about the others."""
        with self._changed:
            self._release(message)

    def fail(self, message: HeldMessage) -> float:
        """It failed; give it back after a backoff in which nothing is taken. Returns its seconds.

        The jitter keeps workers that failed together, because something that they share was down,
        from coming back together.
        """
        with self._changed:
            full: float = min(
                BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN * 2 ** min(self._failures, 16)
            )
            seconds: float = full * random.uniform(0.5, 1.0)  # noqa: S311
            self._failures += 1
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)
            self._strays = self._strays_failed = True
            self._release(message)
            return seconds

    def strays(self) -> Strays | None:
        """What to give back, if the server may hold more for us than we do."""
        with self._changed:
            if not self._strays:
                return None
            found = Strays(frozenset(self._held), failed=self._strays_failed)
            self._strays = self._strays_failed = False
            return found

    def not_given_back(self, strays: Strays) -> None:
        """The attempt failed: they are still to be given back."""
        with self._changed:
            self._strays = True
            self._strays_failed = self._strays_failed or strays.failed

    def _release(self, message: HeldMessage) -> None:
        self._held.difference_update(message.ids)
        self._outstanding -= 1
        self._releases += 1
        self._changed.notify_all()
