"""Use cases of people who look at what was too fast, and say what is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from domain import clock
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Forbidden, Invalid, NotFound
from domain.loyalty.rules.velocity import COUNTS_KEPT, parse_limits
from domain.loyalty.store import velocity as store

REASON_MAX: Final = 500
"""Longest reason of an operator (as the column)."""
COUNTS: Final = 5_000
"""Windows that one transaction forgets."""


def set_policy(
    tx: Tx, merchant_id: int, program: str | None, limits: Sequence[Any], *, actor: Actor
) -> None:
    """Say what is too fast from now on, all of it, in a program, or (None) in all without a policy of their own.

    Counts go on where a limit's window stays. Raises NotFound and Invalid.
    """
    parse_limits(limits)
    program_id = None
    if program is not None:
        program_id = store.program_id(tx, merchant_id, program)
        if program_id is None:
            raise NotFound("program", program)
    store.put_policy(tx, merchant_id, program_id, limits)
    audit.record(
        tx,
        actor,
        "velocity_policy.set",
        merchant_id=merchant_id,
        subject_kind="loyalty_program" if program else "merchant",
        subject_id=program or merchant_id,
        after={"limits": list(limits)},
    )


def policies(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's policies: its own (program None), and those of its programs."""
    return store.listed_policies(tx, merchant_id)


def cases(
    tx: Tx, merchant_id: int, *, closed: bool = False, before: int | None = None, limit: int
) -> list[Any]:
    """A merchant's open cases, or those that ended, newest first, with the evidence and the event of each."""
    return store.cases(tx, merchant_id, closed=closed, before=before, limit=limit)


def case(tx: Tx, merchant_id: int, case_id: int) -> Any:
    """One case. Raises NotFound."""
    row = store.case(tx, merchant_id, case_id)
    if row is None:
        hint = "`payspool loyalty velocity list` shows them."
        raise NotFound("velocity case", str(case_id), hint)
    return row


def to_decide(tx: Tx, at_most: int) -> int:
    """How many cases of all merchants wait for a person: of what is held, and of what is flagged, each counted up
    to ``at_most``."""
    waiting: int = sum(row.cases for row in store.open_counts(tx, at_most))
    return min(waiting, at_most)


def decide(
    tx: Tx, merchant_id: int, case_id: int, outcome: str, *, actor: Actor, reason: str
) -> Any:
    """End a case by a person's word, ``released`` or ``rejected``; returns it as it was. Once, for good.

    The caller holds the lock of its event's inbox row, and does what follows from it. Raises NotFound; Invalid
    without a reason; Forbidden for one that has ended.
    """
    if not reason.strip() or len(reason) > REASON_MAX or "\0" in reason:
        raise Invalid("reason", f"say in 1 to {REASON_MAX} characters why")
    row = store.case(tx, merchant_id, case_id, lock=True)
    if row is None:
        raise NotFound("velocity case", str(case_id))
    if row.outcome is not None:
        raise Forbidden(f"Velocity case {case_id} was {row.outcome} by {row.closed_by} already.")
    now = clock.business_now(tx)
    store.close_case(tx, case_id, outcome, at=now, by=actor.id, reason=reason)
    audit.record(
        tx,
        actor,
        f"velocity.{outcome}",
        merchant_id=merchant_id,
        subject_kind="velocity_case",
        subject_id=case_id,
        reason=reason,
        before={"action": row.action, "evidence": row.evidence, "event": row.inbox_id},
        after={"outcome": outcome},
    )
    return row


def capture_of(tx: Tx, inbox_id: int) -> Any:
    """The event (source, event_id) that captured the hold which an event placed; None: none did."""
    return store.capture_of(tx, inbox_id)


def forget_counts(tx: Tx, now: datetime) -> int:
    """Forget some of the oldest counts that no event needs at business time ``now``; returns how many."""
    return store.forget_counts(tx, now - COUNTS_KEPT, COUNTS)
