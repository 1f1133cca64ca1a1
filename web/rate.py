"""How many requests a key may make: a token bucket in Redis, which all API processes share."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Final

from redis import RedisError

from domain.access.service import ApiKey
from queues.connection import connect
from web.errors import ApiError, log

TIMEOUT_SECONDS: Final = 0.5
"""Longest wait for the bucket: it protects the API and must not be what slows it down."""

AWAY_SECONDS: Final = 1.0
"""How long nobody asks again after Redis did not answer."""


class RateLimit:
    """Takes a token for each request of a key, or says when there will be one.

    Without Redis it lets everybody pass: what needs the queue is refused by the queue, and what needs
    only the database (a till, a look-up) goes on.

    Parameters:
        per_second: Tokens of a key that has no rate of its own.
        burst_seconds: How many seconds' tokens a bucket holds.
    """

    def __init__(
        self, redis_url: str, namespace: str, *, per_second: int, burst_seconds: int
    ) -> None:
        self._client = connect(
            redis_url, connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS
        )
        script = Path(__file__).with_name("rate.lua").read_text(encoding="utf-8")
        self._take = self._client.register_script(script)
        self._namespace = namespace
        self._per_second = per_second
        self._burst_seconds = burst_seconds
        self._away_until = 0.0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def take(self, key: ApiKey) -> None:
        """Take a token of ``key``. Raises ApiError: 429, with Retry-After, if it has none left."""
        now = time.monotonic()
        if now < self._away_until:
            return
        rate = key.rate_per_second or self._per_second
        try:
            wait = self._take(
                keys=[f"{self._namespace}:rate:{key.id}"], args=[rate, rate * self._burst_seconds]
            )
        except RedisError as error:
            self._away_until = now + AWAY_SECONDS
            log.warning("rate limit is off", error=str(error).splitlines()[:1])
            return
        if wait:
            raise TooManyRequests(key, rate, int(wait) / 1_000_000)


class TooManyRequests(ApiError):
    """A key made more requests than its `rate` (a second) allows."""

    def __init__(self, key: ApiKey, rate: int, wait_seconds: float) -> None:
        self.rate = rate
        message = (
            f"The API key {key.name!r} may make {rate} requests a second. Repeat this one after"
            " Retry-After seconds; send events in batches to need fewer."
        )
        seconds = str(max(1, math.ceil(wait_seconds)))
        super().__init__(429, "too_many_requests", message, headers={"Retry-After": seconds})
