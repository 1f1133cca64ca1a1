"""What people and their keys do to schedules: audited, under the merchant whose schedule it is."""

from datetime import datetime
from typing import Any

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.schedules import service, store


def run_now(tx: Tx, name: str, *, actor: Actor) -> datetime:
    """Fire a schedule by hand, as of now; returns its ``fire_at``. Raises NotFound, AlreadyFired, ClockHeld."""
    fire_at = service.run_now(tx, name)
    _record(tx, actor, "run_now", name, after={"fire_at": fire_at})
    return fire_at


def pause(tx: Tx, name: str, *, actor: Actor, reason: str) -> None:
    """Stop a schedule from firing until it is resumed. Raises NotFound."""
    service.pause(tx, name, by=actor.id, reason=reason)
    _record(tx, actor, "paused", name, reason=reason)


def resume(tx: Tx, name: str, *, actor: Actor) -> None:
    """Let a paused schedule fire again; what it missed is caught up by its policy. Raises NotFound."""
    before = store.find(tx, name)
    service.resume(tx, name)
    paused = before is not None and before.paused_at is not None
    said = {"paused_by": before.paused_by, "pause_reason": before.pause_reason} if paused else None
    _record(tx, actor, "resumed", name, before=said)


def _record(tx: Tx, actor: Actor, what: str, name: str, **more: Any) -> None:
    audit.record(
        tx,
        actor,
        f"schedule.{what}",
        merchant_id=store.find(tx, name).merchant_id,
        subject_kind="schedule",
        subject_id=name,
        **more,
    )
