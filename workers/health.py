"""How the gateways answer, counted in one process; it decides when a breaker opens."""

from __future__ import annotations

from threading import Lock

from domain.payouts.rules import GatewayOutcome
from domain.payouts.rules.breaker import Trip, failures_after, trip


class GatewayHealth:
    """Failed calls in a row, by merchant and method; safe across threads.

    Each worker process counts for itself: that a few more calls fail before one of them opens the breaker
    of all costs nothing, and a count that all share would cost a round trip for each call.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._failures: dict[tuple[int, str], int] = {}

    def saw(self, merchant_id: int, method: str, outcome: GatewayOutcome) -> Trip | None:
        """Count a call; why the breaker of this merchant and method is to be opened, if it is."""
        key = (merchant_id, method)
        with self._lock:
            failures = failures_after(self._failures.pop(key, 0), outcome)
            opens = trip(failures, outcome)
            if failures and opens is None:
                self._failures[key] = failures
        return opens
