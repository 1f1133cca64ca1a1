"""The webhook actors: thin wrappers that turn messages and fires into calls of ``workers.notices``."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog

from domain.errors import DomainError
from queues.pause import Pauses
from workers import notices, polling
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


@actor("webhooks.poll", queue="sweeps")
def poll(rt: Runtime, name: str, fire_at: str, merchant_id: int) -> None:
    """Look for webhooks of a merchant that never came; killed at any page, the next fire goes on from there."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        try:
            report = polling.poll(rt, merchant_id)
        except DomainError as error:
            log.warning("events.waits", merchant_id=merchant_id, error=str(error))
            return {"waits": str(error)}
        if report is None:
            return {"skipped": 1}
        rt.watch.webhooks_missed(report.missed)
        return asdict(report)

    sweep(rt, name, fire_at, body)
