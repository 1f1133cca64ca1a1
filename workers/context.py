"""What a worker works with: one frozen Runtime for each process, made by ``payspool.runtime``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import redis
from sqlalchemy import Engine

from domain.payouts.gateway import Gateway
from domain.retention.rules import FOR_EVER, Retention
from queues.marks import Marks
from workers.health import GatewayHealth
from workers.pacing import UNLIMITED, Pace
from workers.watching import UNWATCHED, Watch


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that an actor may touch.

    ``namespace`` prefixes every Redis key. ``gateways`` gives the gateway of a merchant and method and
    raises NoGateway; call it outside of any transaction. ``health`` counts how they answer. ``pace`` limits how fast payouts are sent. ``watch`` is told of what was done, for metrics.
    ``marks`` are kept of what was sent, outside of the database (None, for tests of other things: nothing is
    kept or compared). ``retention`` says how long what was said is kept; by itself, for ever.
    """

    engine: Engine
    redis: redis.Redis
    namespace: str
    gateways: Callable[[int, str], Gateway]
    sandbox: bool
    pace: Pace = UNLIMITED
    marks: Marks | None = None
    health: GatewayHealth = field(default_factory=GatewayHealth)
    watch: Watch = UNWATCHED
    retention: Retention = FOR_EVER
