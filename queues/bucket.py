"""A rate that all processes share: one moment after the other, handed out by the server's clock.

A moment is reserved before it comes, so that callers sleep until theirs and the rate is used in full.
Whoever would have to sleep too long reserves nothing and is told when to come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import redis

from queues import keys
from queues.errors import lost_connections_are_closed
from queues.scripts import source

LONGEST_WAIT_SECONDS: Final = 1.0
"""Longest wait for which a moment is reserved: so long a worker's thread may sleep."""
FURTHEST_RETURN_SECONDS: Final = 60.0
"""Latest moment at which somebody is told to come back."""


@dataclass(frozen=True, slots=True)
class Turn:
    """When a caller may go on: in ``wait`` seconds if ``reserved``, else it asks again after them."""

    wait: float
    reserved: bool = True


class Bucket:
    """Buckets by name, each of ``rate`` moments a second; 0: no limit.

    Moments are 1 / ``rate`` seconds apart, so that no window of time holds more than its share.
    """

    def __init__(self, client: redis.Redis, namespace: str, rate: float) -> None:
        self._namespace = namespace
        self._take = client.register_script(source("take_token"))
        self.rate: Final = rate

    def take(self, name: str) -> Turn:
        """Reserve the next moment of a bucket.

        Raises:
            ConnectionClosed: The server did not answer; a moment may be reserved.
        """
        if not self.rate:
            return Turn(0.0)
        limits = (1 / self.rate, LONGEST_WAIT_SECONDS, FURTHEST_RETURN_SECONDS)
        with lost_connections_are_closed():
            answer: Any = self._take(
                keys=[keys.bucket(self._namespace, name)],
                args=[round(seconds * 1_000_000) for seconds in limits],
            )
        reserved, wait = answer
        return Turn(wait / 1_000_000, bool(reserved))
