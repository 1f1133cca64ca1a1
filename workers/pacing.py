"""When a payout may be sent, as to the rate of its gateway's account.

A turn is taken before an attempt is begun, so that a payout that has to wait holds no lease and no key.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final, Protocol

import structlog
from dramatiq.errors import ConnectionClosed

from domain.payouts.gateway import Gateway
from queues.bucket import Turn

log = structlog.get_logger(__name__)


class Pace(Protocol):
    """Turns by name, ``rate`` of them a second for each name; 0: no limit."""

    @property
    def rate(self) -> float:
        """Turns a second of one name."""

    def take(self, name: str) -> Turn:
        """The next turn of a name. Raises ConnectionClosed if nobody can tell."""


class Unlimited:
    """Everybody's turn is now."""

    rate: Final = 0.0

    def take(self, _name: str) -> Turn:
        """Now."""
        return Turn(0.0)


UNLIMITED: Final = Unlimited()


def wait_for_turn(pace: Pace, gateway: Gateway) -> timedelta | None:
    """Sleep until it is the turn of this gateway's account; or how long to be put off, if that is long.

    While nobody can tell, turns are not waited for: payouts that are on a worker already go out, fewer
    than its threads at a time; the gateway limits too, and what it turns away goes again under its key.
    """
    try:
        turn = pace.take(f"{gateway.method}.{gateway.account}")
    except ConnectionClosed as error:
        log.warning("payout.unpaced", account=gateway.account, error=str(error)[:200])
        return None
    if not turn.reserved:
        return timedelta(seconds=turn.wait)
    if turn.wait:
        time.sleep(turn.wait)
    return None
