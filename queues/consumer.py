"""What the batch consumer and the message consumer share: taking, waiting, giving back."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast

import redis
from dramatiq import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed

from queues.errors import lost_connections_are_closed
from queues.keys import QueueKeys
from queues.lane import HeldMessage, Lane
from queues.scripts import Scripts

log = logging.getLogger(__name__)

#: How long an idle consumer blocks on the server before it looks around: for a retry that is due,
#: for a request to stop.
WAIT_SECONDS_MAX: Final = 1.0
#: The same while messages are being processed, or have to go back: one of them may fail.
WAIT_SECONDS_AT_WORK: Final = 0.2
#: Redis takes 0 for ever.
WAIT_SECONDS_MIN: Final = 0.001
#: While its worker shuts down, a consumer takes nothing and looks this often whether it may end.
STOPPING_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Access:
    """One queue as one process reaches it. `stopping` is set while its worker shuts down."""

    keys: QueueKeys
    client: redis.Redis
    scripts: Scripts
    lane: Lane
    stopping: threading.Event


class LaneConsumer(Consumer, ABC):
    """A consumer whose state is in its lane.

    Parameters:
        access: The queue to consume.
        outstanding: How many messages may be handed out and unfinished; no more are fetched.
    """

    def __init__(self, access: Access, *, outstanding: int) -> None:
        self.queue = access.keys.queue
        self.outstanding = outstanding
        self.lane = access.lane
        self.scripts = access.scripts
        self._client = access.client
        self._list = access.keys.list
        self._stopping = access.stopping

    @abstractmethod
    def fetch(self) -> float | None:
        """Take what there is, within limits, and make it ready in the lane.

        Returns the seconds until the next retry is due, if that is all there is.
        """

    @abstractmethod
    def failed(self, message: HeldMessage) -> None:
        """Decide what becomes of a message that failed."""

    def __next__(self) -> MessageProxy | None:
        """The next message, or None after a while without one.

        Raises:
            ConnectionClosed: The server is away; Dramatiq makes a new consumer after 3 s.
        """
        with lost_connections_are_closed():
            if self._stopping.is_set():
                time.sleep(STOPPING_PAUSE_SECONDS)
                return None
            if not self.lane.wait_for_room(self.outstanding, WAIT_SECONDS_MAX):
                return None
            if not self.lane.wait_out_backoff(WAIT_SECONDS_MAX):
                return None
            if self._stopping.is_set():  # it may have been set during the waits
                return None
            self._give_back_strays()
            message = self.lane.next_ready()
            if message is None:
                next_due = self.fetch()
                message = self.lane.next_ready()
                if message is None and self._wait_for_message(next_due):
                    self.fetch()
                    message = self.lane.next_ready()
            return message

    def ack(self, message: MessageProxy) -> None:
        """Remove a message that was processed, as far as it is still ours.

        Raises:
            ConnectionClosed: The server is away; Dramatiq repeats the call every 5 s.
        """
        done = cast(HeldMessage, message)
        with self._finishing(done):
            removed = self.scripts.ack(self.queue, done.ids)
            self.lane.finish(done)
        if removed < len(done.ids):
            log.warning(
                "%s of %s messages of %s were with another worker when they were done here; what "
                "they say is counted once.",
                len(done.ids) - removed,
                len(done.ids),
                self.queue,
            )

    def nack(self, message: MessageProxy) -> None:
        """Deal with a message that failed.

        Raises:
            ConnectionClosed: The server is away; Dramatiq repeats the call every 5 s.
        """
        held = cast(HeldMessage, message)
        with self._finishing(held):
            self.failed(held)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Return messages that were not begun to the front of the queue, in order, together with
        those behind them that were not handed out.

        Raises:
            ConnectionClosed: The server is away; they go back when this process ends, or by a
                janitor.
        """
        returned = [cast(HeldMessage, message) for message in messages]
        for message in returned:
            self.lane.let_go(message)
        if returned:
            self.lane.drop_ready()
            with lost_connections_are_closed():
                self._give_back_strays()

    def close(self) -> None:
        """Let go of what was taken and not handed out; the next consumer gives it back."""
        self.lane.drop_ready()

    def _give_back_strays(self) -> None:
        strays = self.lane.strays()
        if strays is None:
            return
        try:
            count = self.scripts.give_back(self.queue, held=strays.held, failed=strays.failed)
        except BaseException:
            self.lane.not_given_back(strays)
            raise
        if count:
            log.info("Gave %s messages back to %s.", count, self.queue)

    def _wait_for_message(self, next_due: float | None) -> bool:
        """Block until there is a message, without taking it; whether there is one.

        Moving the head of the list to its head changes nothing, and blocks while there is none.
        """
        seconds = WAIT_SECONDS_MAX if self.lane.empty() else WAIT_SECONDS_AT_WORK
        if next_due is not None:
            seconds = min(seconds, max(next_due, WAIT_SECONDS_MIN))
        try:
            head = self._client.blmove(self._list, self._list, seconds, "LEFT", "LEFT")  # type: ignore[arg-type]
        except redis.exceptions.OutOfMemoryError:
            # At the memory limit nothing new arrives, but what is there is drained (see scripts).
            self._stopping.wait(seconds)
            return True
        return (head is not None or next_due is not None) and not self._stopping.is_set()

    @contextmanager
    def _finishing(self, message: HeldMessage) -> Iterator[None]:
        """Around the end of a message: Dramatiq repeats it after a lost connection, so the message
        stays held; after anything else it does not, so the message is let go and comes back."""
        try:
            with lost_connections_are_closed():
                yield
        except ConnectionClosed:
            raise
        except BaseException:
            self.lane.let_go(message)
            raise
