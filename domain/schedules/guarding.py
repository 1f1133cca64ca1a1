"""The guard against a clock that jumps: fires wait for a person.

A clock that is put on by a month would pay the next month's run today. So every tick compares how far
PostgreSQL's clock went with the time that passed on the scheduler's machine. A scheduler that was down
is no jump: on the same boot of its machine the time in between is known, from its last tick in the
database; after a reboot, or on another machine, only a step backwards is certain. Simulated time is
meant to jump, and is not looked at.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import DomainError, Forbidden
from domain.schedules import store
from domain.schedules.rules import MAX_JUMP, Tick, clock_jump

KEEP_EVERY: Final = timedelta(seconds=30)
"""How often the last tick is written: any one of a machine tells the time that passed since."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Since when nothing fires (PostgreSQL's clock, UTC), and how far that clock had jumped."""

    since: datetime
    jump: timedelta

    @property
    def sentence(self) -> str:
        """What happened, and what to do."""
        seconds = self.jump.total_seconds()
        way = "forwards" if seconds > 0 else "backwards"
        far = timedelta(seconds=round(abs(seconds)))
        return (
            f"PostgreSQL's clock jumped {way} by {far} (seen at {self.since:%Y-%m-%d %H:%M:%S} UTC);"
            " nothing fires until a person has looked. When the clock is right:"
            " `payspool schedule accept-clock`."
        )


class ClockHeld(DomainError):
    """Nothing is fired by a clock that jumped."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        super().__init__(hold.sentence)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scheduler keeps from one look to the next."""

    tick: Tick
    accepted: int


def look(tx: Tx, boot: str, elapsed: float, last: Seen | None) -> tuple[Seen | None, Hold | None]:
    """Look at the clock: what to keep for the next look, and the hold, if nothing may fire.

    ``elapsed`` are the seconds since ``boot``; ``last`` is what this process kept from its last look.
    """
    row = store.clock_row(tx)
    if row.simulated:
        return last, None
    now = Tick(row.now, boot, elapsed)
    known = row.id is not None
    if last is not None and last.accepted == row.accepted:
        before: Tick | None = last.tick
    elif known and last is None:
        before = Tick(row.ticked_at, row.boot, row.elapsed_seconds)
    else:
        before = None  # a person has accepted the clock since
    jump = clock_jump(before, now)
    jumped = abs(jump) > MAX_JUMP
    if not known or jumped or abs(row.now - row.ticked_at) >= KEEP_EVERY:
        store.keep_tick(tx, now.at, boot, elapsed)
        held = jumped and store.hold_clock(tx, now.at, jump.total_seconds())
        # The write may have waited for another scheduler that saw the same jump: its hold is not in the
        # row as it was read before.
        row = store.clock_row(tx)
        if held:
            by = Actor("scheduler", boot or "unknown boot")
            _record(tx, by, "scheduler.clock_held", Hold(now.at, jump))
    hold = _hold(row.held_at, row.jump_seconds)
    assert hold is not None or not jumped, "a jump is held by whoever saw it first"
    return Seen(now, row.accepted or 0), hold


def present_hold(tx: Tx) -> Hold | None:
    """The hold that a jump of the clock has put on every fire, or None."""
    row = store.clock_row(tx)
    return None if row.simulated else _hold(row.held_at, row.jump_seconds)


def accept_clock(tx: Tx, *, actor: Actor) -> Hold:
    """Let everything fire again by the clock as it is; returns what was accepted.

    What was missed is caught up by each schedule's policy. Raises Forbidden if nothing is held.
    """
    row = store.release_clock(tx)
    if row is None:
        raise Forbidden("The clock has not jumped: nothing is held.")
    hold = Hold(row.held_at, timedelta(seconds=row.jump_seconds))
    _record(tx, actor, "scheduler.clock_accepted", hold)
    return hold


def _hold(held_at: datetime | None, jump_seconds: float | None) -> Hold | None:
    if held_at is None or jump_seconds is None:
        return None
    return Hold(held_at, timedelta(seconds=jump_seconds))


def _record(tx: Tx, actor: Actor, action: str, hold: Hold) -> None:
    audit.record(
        tx,
        actor,
        action,
        merchant_id=None,
        subject_kind="clock",
        subject_id="postgresql",
        reason=hold.sentence,
        after={"since": hold.since, "jump_seconds": hold.jump.total_seconds()},
    )
