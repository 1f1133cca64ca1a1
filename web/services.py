"""What one application holds while it runs, and how an endpoint gets at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis
from fastapi import Request

from web.context import ApiContext
from web.keys import KeyCache
from web.probes import Probe
from web.queueing import EventQueue
from web.rate import RateLimit


@dataclass(frozen=True, slots=True)
class Services:
    """The context, and what all requests share: the queue, the keys that were found good, their rate
    limit, Redis for looking at queues, and the looks at dependencies, sweeps
    and whether sending is stopped after a failover."""

    context: ApiContext
    queue: EventQueue
    keys: KeyCache
    rate: RateLimit
    redis: redis.Redis
    probes: Sequence[Probe]
    sweeps: Probe
    failover: Probe


def services(request: Request) -> Services:
    """The services of the application that serves this request."""
    found = request.app.state.services
    assert isinstance(found, Services)
    return found
