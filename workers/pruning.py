"""The actor that lets the log of webhooks end."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.db import transaction
from domain.webhooks import deliveries
from workers.context import Runtime
from workers.registry import actor
from workers.sweeps import sweep


@actor("hooks.prune", queue="sweeps")
def prune(rt: Runtime, name: str, fire_at: str) -> None:
    """Remove events, deliveries and attempts that are older than the log goes back."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        removed = 0
        while True:
            with transaction(rt.engine) as tx:
                some = deliveries.prune(tx)
            if not some:
                return {"removed": removed}
            removed += some

    sweep(rt, name, fire_at, body)
