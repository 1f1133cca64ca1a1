"""The webhook actors: thin wrappers that turn messages and fires into calls of ``workers.notices``."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog

from domain.errors import DomainError
from queues.pause import Pauses
from workers import notices
from workers.context import Runtime
from workers.registry import actor
from workers.sweeps import sweep

log = structlog.get_logger(__name__)


@actor("webhooks.apply", queue="webhooks")
def apply(rt: Runtime, notice_id: int) -> None:
    """Apply one notice. What cannot be applied now waits for the sweep."""
    try:
        log.info("webhook.applied", notice_id=notice_id, result=notices.apply(rt, notice_id))
    except DomainError as error:
        log.warning("webhook.waits", notice_id=notice_id, error=str(error))


@actor("webhooks.sweep", queue="sweeps")
def sweep_stuck(rt: Runtime, name: str, fire_at: str) -> None:
    """Ask again for notices that nothing was made of."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        paused = Pauses(rt.redis, rt.namespace).of("webhooks") is not None
        return {"asked": notices.sweep(rt, paused=paused)}

    sweep(rt, name, fire_at, body)
