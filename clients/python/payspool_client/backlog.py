"""How much lies on the queue, and when to stop adding to it.

At `maxmemory` Valkey refuses a worker's acknowledgements as well as a producer's events: a flood
would wedge its own drain. So producers stop well below it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import redis

from payspool_client.errors import BacklogFull
from payspool_client.wire import NAMESPACE, messages_key

#: The share of Valkey's `maxmemory` up to which producers may fill it.
MEMORY_SHARE: Final = 0.7
#: Messages, waiting or being worked on, that producers may pile up.
MESSAGES_MAX: Final = 1_000_000
#: When to try again: workers take some hundred thousand events meanwhile.
RETRY_AFTER_SECONDS: Final = 10
#: What a message costs in memory beside its own bytes (hash entry, list entry, ids); rounded up.
OVERHEAD_BYTES: Final = 256
#: How long a measurement serves: single events then need one round trip, not two.
MEASURED_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies on a queue now.

    Attributes:
        messages: Messages of this queue that are not done, waiting or held by a worker; a message
            holds up to 100 events.
        bytes: The memory that Valkey uses, for whatever it is.
        maxmemory: Valkey's own limit in bytes; 0 if it has none.
    """

    messages: int
    bytes: int
    maxmemory: int


@dataclass(frozen=True, slots=True)
class BacklogLimit:
    """Up to where producers may fill the queue.

    Attributes:
        messages: At most so many messages.
        memory_share: At most this share of Valkey's `maxmemory`, where that is set.
        bytes: At most so many bytes of Valkey's memory; None leaves it to `memory_share`.
    """

    messages: int = MESSAGES_MAX
    memory_share: float = MEMORY_SHARE
    bytes: int | None = None

    def __post_init__(self) -> None:
        if self.messages < 1 or (self.bytes is not None and self.bytes < 1):
            raise ValueError("messages and bytes must be at least 1.")
        if not 0 < self.memory_share < 1:
            raise ValueError("memory_share must be between 0 and 1.")

    def check(self, backlog: Backlog, *, messages: int = 0, size: int = 0, sent: int = 0) -> None:
        """Whether so many more messages, of `size` bytes together, may come on top.

        `sent` is how many events of the caller's call are on the queue already, for the error.

        Raises:
            BacklogFull: They may not.
        """
        limits = [] if self.bytes is None else [self.bytes]
        if backlog.maxmemory:
            limits.append(int(self.memory_share * backlog.maxmemory))
        if backlog.messages + messages > self.messages:
            raise _full(backlog, self.messages, "messages", sent)
        if limits and backlog.bytes + size > min(limits):
            raise _full(backlog, min(limits), "bytes", sent)


def _full(backlog: Backlog, limit: int, unit: str, sent: int) -> BacklogFull:
    return BacklogFull(
        messages=backlog.messages,
        bytes=backlog.bytes,
        limit=limit,
        unit=unit,
        retry_after=RETRY_AFTER_SECONDS,
        sent=sent,
    )


def measure(client: redis.Redis, namespace: str = NAMESPACE) -> Backlog:
    """Ask Valkey how full the queue of events is, in one round trip.

    Raises:
        redis.RedisError: It did not answer, or does not let this user ask (`INFO`, `HLEN`).
    """
    pipeline = client.pipeline(transaction=False)
    pipeline.hlen(messages_key(namespace))
    pipeline.info("memory")
    messages, memory = pipeline.execute()
    return Backlog(messages, memory["used_memory"], memory["maxmemory"])


class Gate:
    """Lets messages pass while there is room; measures only as often as it must. Thread-safe.

    Several producers may each add what they send within `MEASURED_SECONDS` beyond the limit; the
    distance between the limit and `maxmemory` is for that.
    """

    def __init__(self, client: Any, namespace: str, limit: BacklogLimit) -> None:
        self._client = client
        self._namespace = namespace
        self._limit = limit
        self._lock = threading.Lock()
        self._seen = Backlog(0, 0, 0)
        self._until = 0.0

    def pass_through(self, messages: int, size: int, sent: int) -> None:
        """Count messages of so many bytes as sent. Raises BacklogFull, redis.RedisError."""
        size += messages * OVERHEAD_BYTES
        with self._lock:
            if time.monotonic() < self._until and self._fits(messages, size):
                self._count(messages, size)
                return
        seen = measure(self._client, self._namespace)
        self._limit.check(seen, messages=messages, size=size, sent=sent)
        with self._lock:
            self._seen = seen
            self._until = time.monotonic() + MEASURED_SECONDS
            self._count(messages, size)

    def _fits(self, messages: int, size: int) -> bool:
        try:
            self._limit.check(self._seen, messages=messages, size=size)
        except BacklogFull:
            return False
        return True

    def _count(self, messages: int, size: int) -> None:
        seen = self._seen
        self._seen = Backlog(seen.messages + messages, seen.bytes + size, seen.maxmemory)
