"""The actors that keep what the dashboard shows: a minute for its charts, and sums of the books."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.charts import service as charts
from domain.db import transaction
from domain.ledger import rollups
from domain.loyalty import service as loyalty
from queues.dead import known_queues
from queues.inspect import inspect
from workers.context import Runtime
from workers.registry import actor
from workers.sweeps import sweep


@actor("charts.keep_minute", queue="sweeps")
def keep_minute(rt: Runtime, name: str, fire_at: str) -> None:
    """Keep what this minute is like: the queues as they are, and what was received and booked."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        states = inspect(rt.redis, rt.namespace, known_queues(rt.redis, rt.namespace))
        gauges = {
            "queue.ready": {one.queue: one.ready for one in states},
            "queue.in_flight": {one.queue: one.in_flight for one in states},
            "queue.dead": {one.queue: one.dead for one in states},
            "queue.oldest_seconds": {one.queue: round(one.oldest_seconds or 0) for one in states},
        }
        with transaction(rt.engine) as tx:
            charts.keep_minute(tx, gauges)
        return {}

    sweep(rt, name, fire_at, body)


@actor("charts.roll_up", queue="sweeps")
def roll_up(rt: Runtime, name: str, fire_at: str) -> None:
    """Add what is settled in the books to the sums that pages begin with."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        return rollups.roll_up_ledger(rt.engine) | {"cards": loyalty.roll_up_cards(rt.engine)}

    sweep(rt, name, fire_at, body)
