"""What can go wrong with queues. A lost connection is Dramatiq's `ConnectionClosed`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

import redis
from dramatiq.errors import ConnectionClosed


class QueuesError(Exception):
    """The base of every error of this package."""


class UnknownQueue(QueuesError):
    """A worker was asked for queues that no actor is declared on.

    Attributes:
        unknown: Their names.
        declared: The names that would do.
    """

    def __init__(self, unknown: Collection[str], declared: Collection[str]) -> None:
        super().__init__(
            f"No actor is declared on {', '.join(sorted(unknown))}. Import the actors before the "
            f"worker runs, or choose from: {', '.join(sorted(declared)) or 'none is declared'}."
        )
        self.unknown = frozenset(unknown)
        self.declared = frozenset(declared)


class DelayRefused(QueuesError):
    """A message was sent with a delay.

    Attributes:
        queue: Where it was sent.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"Messages on {queue} cannot be delayed: a delay would live in a worker's memory. "
            "Write a row with run_at instead; a sweep or the outbox sends it when it is due."
        )
        self.queue = queue


#: Answers of a server that is there and cannot serve: it starts, follows, or is out of memory.
_AWAY: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
)
#: Conditions of the same kind that redis-py has no class for.
_AWAY_PREFIXES: Final = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "BUSY")


@contextmanager
def lost_connections_are_closed() -> Iterator[None]:
    """Raise `ConnectionClosed`, on which Dramatiq waits and tries again, for whatever means that
    the server cannot serve now."""
    try:
        yield
    except _AWAY as error:
        raise ConnectionClosed(error) from error  # type: ignore[no-untyped-call]
    except redis.ResponseError as error:
        if str(error).startswith(_AWAY_PREFIXES):
            raise ConnectionClosed(error) from error  # type: ignore[no-untyped-call]
        raise
