"""What the batch consumer and the message consumer share: taking, waiting, giving back."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import redis
from dramatiq import Consumer, MessageProxy
from dramatiq.common import compute_backoff
from dramatiq.errors import ConnectionClosed, DecodeError

from payspool_client import UndecodableMessage
from queues.dead import DeadLetter, DeadLetterSink
from queues.errors import lost_connections_are_closed
from queues.keys import QueueKeys
from queues.lane import HeldMessage, Lane
from queues.scripts import Fetched, Scripts, Taken

log = logging.getLogger(__name__)

M = TypeVar("M")

#: How long an idle consumer blocks on the server before it looks around: for a retry that is due,
#: for a request to stop.
WAIT_SECONDS_MAX: Final = 1.0
#: The same while messages are being processed, or have to go back: one of them may fail.
WAIT_SECONDS_AT_WORK: Final = 0.2
#: Redis takes 0 for ever.
WAIT_SECONDS_MIN: Final = 0.001
#: A message whose workers died so often is a dead letter. The first death may be any message's doing
#: that the worker held, the second one's of a small group of such messages; after it the message runs
#: alone (see `scripts/fetch.lua`), and what dies then is its own doing.
DEATHS_MAX: Final = 3
#: How long a dead letter waits, at most, for the sink to be able to take it.
BURY_BACKOFF_MS_MAX: Final = 60_000
#: While its worker shuts down, a consumer takes nothing and looks this often whether it may end.
STOPPING_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Access:
    """One queue as one process reaches it.

    `stopping` is set while its worker shuts down. `sink` is where dead letters are kept besides.
    """

    keys: QueueKeys
    client: redis.Redis
    scripts: Scripts
    lane: Lane
    stopping: threading.Event
    sink: DeadLetterSink | None = None


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
        self._sink = access.sink
        self._list = access.keys.list
        self._stopping = access.stopping

    @abstractmethod
    def fetch(self) -> Fetched:
        """Take what there is, within limits, and make it ready in the lane."""

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
                releases = self.lane.releases()
                fetched = self.fetch()
                message = self.lane.next_ready()
                if message is None and fetched.held_up:
                    self.lane.wait_for_release(releases, WAIT_SECONDS_AT_WORK)
                elif message is None and self._wait_for_message(fetched.next_due):
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

    def decoded(self, taken: Taken, decode: Callable[[bytes], M]) -> M | None:
        """A fetched message, or None if it is a dead letter: it killed its workers, or `decode`
        cannot read it."""
        if taken.deaths >= DEATHS_MAX:
            why = f"killed its worker: {taken.deaths} workers died while they held it"
            self.bury(taken, why, attempts=taken.tries)
            return None
        try:
            return decode(taken.raw)
        except (UndecodableMessage, DecodeError, TypeError) as error:
            self.bury(taken, f"undecodable: {error}", attempts=taken.tries)
            return None

    def bury(self, taken: Taken, why: str, *, attempts: int) -> None:
        """Make a dead letter of a message, for a reason (or a stack trace).

        The sink has it before the queue lets go of it. While the sink cannot take it, the message
        is put aside and comes back: it may be tried once more, but it is not lost from sight.
        """
        letter = DeadLetter.of(
            self.queue, taken.id, taken.raw, why, attempts=attempts, deaths=taken.deaths
        )
        if self._sink is not None:
            try:
                self._sink.record(letter)
            except Exception as error:
                _, wait = compute_backoff(taken.tries, factor=1000, max_backoff=BURY_BACKOFF_MS_MAX)
                log.warning(
                    "The dead letter %s of %s cannot be kept now (%s); it is tried again in %.1f s.",
                    taken.id,
                    self.queue,
                    error,
                    wait / 1000,
                )
                self.scripts.retry(self.queue, taken.id, backoff=wait / 1000)
                return
        log.error("Message %s of %s is a dead letter: %s", taken.id, self.queue, letter.reason)
        self.scripts.dead_letter(self.queue, taken.id, why, attempts)

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
