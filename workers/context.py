"""What a worker works with: one frozen Runtime for each process, made by ``payspool.runtime``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import redis
from sqlalchemy import Engine

from domain.payouts.gateway import Gateway
from workers.health import GatewayHealth
from workers.pacing import UNLIMITED, Pace
from workers.watching import UNWATCHED, Watch


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that an actor may touch.

    ``namespace`` prefixes every Redis key. ``gateways`` gives the gateway of a merchant and method and
    raises NoGateway; call it outside of any transaction. ``health`` counts how they answer. ``pace`` limits how fast payouts are sent. ``watch`` is told of what was done, for metrics.
    """

    engine: Engine
    redis: redis.Redis
    namespace: str
    gateways: Callable[[int, str], Gateway]
    sandbox: bool
    pace: Pace = UNLIMITED
    health: GatewayHealth = field(default_factory=GatewayHealth)
    watch: Watch = UNWATCHED
