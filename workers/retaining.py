"""The actor that lets go of what was said long ago."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.retention import service as retention
from workers.archiving import Archive
from workers.context import Runtime
from workers.registry import actor
from workers.sweeps import sweep


@actor("retention.prune", queue="sweeps")
def prune(rt: Runtime, name: str, fire_at: str) -> None:
    """Prune some of what is older than it has to be kept; the next fire goes on."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        done = retention.run(rt.engine, rt.retention, Archive.of(rt.retention))
        return {subject: pruned.rows for subject, pruned in done.items()}

    sweep(rt, name, fire_at, body)
