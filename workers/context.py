"""What a worker works with: one frozen Runtime for each process, made by ``payspool.runtime``."""

from collections.abc import Callable
from dataclasses import dataclass

import redis
from sqlalchemy import Engine

from domain.payouts.gateway import Gateway
from workers.pacing import UNLIMITED, Pace
from workers.watching import UNWATCHED, Watch


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that an actor may touch.

    ``namespace`` prefixes every Redis key. ``gateways`` gives the gateway of a merchant and method and
    raises NoGateway; call it outside of any transaction. ``open_breaker`` is told when a gateway
    refused our key: (merchant id, method, reason). ``pace`` limits how fast payouts are sent. ``watch`` is told of what was done, for metrics.
    """

    engine: Engine
    redis: redis.Redis
    namespace: str
    gateways: Callable[[int, str], Gateway]
    open_breaker: Callable[[int, str, str], None]
    sandbox: bool
    pace: Pace = UNLIMITED
    watch: Watch = UNWATCHED
