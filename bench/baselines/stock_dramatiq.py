"""The handler as an actor of stock Dramatiq with its stock Redis broker, run by its own command."""

import os
from typing import Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.baselines.handler import apply_one
from domain.db import connect

NAMESPACE: Final = "stock"
THREADS: Final = 8
"""Dramatiq's default for a process."""

broker = RedisBroker(url=os.environ.get("PAYSPOOL_REDIS_URL"), namespace=NAMESPACE)  # type: ignore[no-untyped-call]
dramatiq.set_broker(broker)
engine = connect(
    os.environ.get("PAYSPOOL_DATABASE_URL", "postgresql+psycopg://"), pool_size=THREADS
)


@dramatiq.actor(actor_name="apply", queue_name="events")
def apply(text: str) -> None:
    """Apply an event."""
    apply_one(engine, "stock", text)
