"""Use cases of the scheduler: register schedules, fire what is due exactly once, follow each fire."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from domain import clock
from domain.db import Tx
from domain.errors import DomainError, NotFound
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.schedules import guarding, rules, store
from domain.schedules.guarding import ClockHeld
from domain.schedules.rules import Cron, Every, Timing

DUE_PER_TICK: Final = 100
"""Schedules that one tick fires; the next tick takes the rest."""
STALE_SECONDS: Final = 30.0
"""A fire whose message seems lost is emitted again after this long, then after twice as long, …"""
KEEP_INTERVAL_FIRES_SECONDS: Final = 3_600
"""Finished fires of interval schedules are kept for an hour; those of cron schedules for ever."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What fires: ``actor`` on ``queue``, called with ``args`` and with ``name`` and ``fire_at``."""

    name: str
    queue: str
    actor: str
    timing: Timing
    args: dict[str, Any] = field(default_factory=dict)
    merchant_id: int | None = None
    catch_up: str = "latest"


def register(tx: Tx, schedule: Schedule) -> None:
    """Add a schedule or bring it up to date. Raises Invalid for a timing that cannot be used."""
    rules.validate(schedule.timing)
    timing = schedule.timing
    now = clock.real_now(tx) if isinstance(timing, Every) else clock.business_now(tx)
    store.upsert(
        tx,
        name=schedule.name,
        merchant_id=schedule.merchant_id,
        queue=schedule.queue,
        actor=schedule.actor,
        args=schedule.args,
        cron=timing.expression if isinstance(timing, Cron) else None,
        zone=timing.zone if isinstance(timing, Cron) else "UTC",
        every_seconds=timing.seconds if isinstance(timing, Every) else None,
        catch_up=schedule.catch_up,
        next_fire_at=rules.next_after(timing, now),
    )


def is_registered(tx: Tx, name: str) -> bool:
    """Whether there is a schedule of this name."""
    return store.find(tx, name) is not None


def tick(tx: Tx) -> int:
    """Fire everything that is due; returns how many fires were made.

    Any number of schedulers may tick at once: a schedule is locked by one of them, and the primary key
    of a fire keeps a second one out. The fire, its message and the schedule's move commit together.
    """
    made = 0
    business_now = clock.business_now(tx)
    for row in store.lock_due(tx, business_now, DUE_PER_TICK):
        timing: Timing = Cron(row.cron, row.zone) if row.cron else Every(row.every_seconds)
        now = row.real_now if isinstance(timing, Every) else business_now
        fires = rules.due_fires(timing, row.next_fire_at, now, catch_up=row.catch_up)
        for fire_at in fires:
            if store.insert_fire(tx, row.name, fire_at):
                outbox.emit(tx, [_message(row, fire_at)])
                made += 1
        last = fires[-1] if fires else row.next_fire_at
        store.advance(tx, row.name, rules.next_after(timing, last))
    return made


class AlreadyFired(DomainError):
    """A schedule fires once as of one time; where business time stands still, that is once."""

    def __init__(self, name: str, fire_at: datetime) -> None:
        self.name, self.fire_at = name, fire_at
        super().__init__(
            f"{name} has fired as of {fire_at:%Y-%m-%d %H:%M:%S} UTC before; nothing was done."
            " Business time has to move on first (`payspool clock show`)."
        )


def run_now(tx: Tx, name: str) -> datetime:
    """Fire a schedule by hand, as of now; returns its ``fire_at``.

    Raises NotFound, AlreadyFired, or ClockHeld while the clock is in doubt.
    """
    hold = guarding.present_hold(tx)
    if hold is not None:
        raise ClockHeld(hold)
    row = store.find(tx, name)
    if row is None:
        raise NotFound("schedule", name, "`payspool schedule list` shows them.")
    fire_at = clock.real_now(tx) if row.cron is None else clock.business_now(tx)
    if not store.insert_fire(tx, name, fire_at, manual=True):
        raise AlreadyFired(name, fire_at)
    outbox.emit(tx, [_message(row, fire_at)])
    return fire_at


def pause(tx: Tx, name: str, *, by: str, reason: str) -> None:
    """Stop a schedule from firing until it is resumed. Raises NotFound."""
    if not store.set_paused(tx, name, by=by, reason=reason):
        raise NotFound("schedule", name, "`payspool schedule list` shows them.")


def resume(tx: Tx, name: str) -> None:
    """Let a paused schedule fire again; what it missed is caught up by its policy. Raises NotFound."""
    if not store.set_paused(tx, name, by=None, reason=None):
        raise NotFound("schedule", name, "`payspool schedule list` shows them.")


def begin(tx: Tx, name: str, fire_at: datetime) -> Mapping[str, Any] | None:
    """Take up a fire: its progress so far, or None if it is finished or unknown (a second message)."""
    fire = store.lock_fire(tx, name, fire_at)
    if fire is None or fire.state in ("done", "failed"):
        return None
    store.update_fire(tx, name, fire_at, "running", {}, None)
    progress: Mapping[str, Any] = fire.progress
    return progress


def finish(tx: Tx, name: str, fire_at: datetime, progress: Mapping[str, Any]) -> None:
    """Mark a fire done, with what it did."""
    store.update_fire(tx, name, fire_at, "done", progress, None)


def give_up(tx: Tx, name: str, fire_at: datetime, why: str) -> None:
    """An open fire's message is a dead letter: it is emitted no more until a person takes it up."""
    fire = store.lock_fire(tx, name, fire_at)
    if fire is not None and fire.state in ("emitted", "running"):
        store.update_fire(tx, name, fire_at, "failed", {}, why)


def take_up(tx: Tx, name: str, fire_at: datetime) -> None:
    """Let a fire that was given up run again, from where it stopped."""
    store.reopen_fire(tx, name, fire_at)


def re_emit_stale(tx: Tx, paused: Collection[str] = ()) -> int:
    """Emit the messages of fires again that wait too long, but none for ``paused`` queues; returns how
    many. Prunes old fires too."""
    rows = store.take_stale_fires(tx, STALE_SECONDS, DUE_PER_TICK, paused)
    outbox.emit(tx, [_message(row, row.fire_at) for row in rows])
    store.prune_fires(tx, KEEP_INTERVAL_FIRES_SECONDS)
    return len(rows)


def _message(row: Any, fire_at: datetime) -> OutboxMessage:
    return OutboxMessage(
        queue=row.queue,
        actor=row.actor,
        args={**row.args, "name": row.name, "fire_at": fire_at.isoformat()},
        merchant_id=row.merchant_id,
    )
