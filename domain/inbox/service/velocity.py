"""What a person says of an event that was too fast: a held one is applied, or refused for good; a flagged one stays, or is undone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from domain import clock
from domain.audit.service import Actor
from domain.db import Tx
from domain.inbox import repair_store, store
from domain.inbox.rules import Delivery, Parsed
from domain.inbox.service.applying import apply
from domain.inbox.service.repairs import retry
from domain.loyalty.service import velocity_desk as desk
from payspool_client import parse_event

SOURCE: Final = "payspool/velocity"
"""Of the events that undo what a person rejected."""
_UNDONE_BY: Final = {
    "loyalty.points_earned": "loyalty.points_voided",
    "loyalty.points_redeemed": "loyalty.points_voided",
    "loyalty.points_held": "loyalty.hold_released",
    "loyalty.stamp_earned": "loyalty.stamp_voided",
    # Stamps that were spent are given back by an adjustment: nothing voids them.
    "loyalty.stamp_redeemed": None,
}


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a case: the status and reason of the event that a decision applied, refused, or undid it by.

    ``undone_by``: the id of the event (source SOURCE) that undoes a flagged one.
    """

    case: int
    outcome: str
    status: str
    reason: str | None
    detail: str | None = None
    undone_by: str | None = None


def release_case(tx: Tx, merchant_id: int, case_id: int, *, actor: Actor, reason: str) -> Settled:
    """Let an event that was held be applied now, once, whatever its limits say; or a flagged one be as it is.

    The rules may still refuse it (the card may have been closed since): the result says so, and it can be retried
    like any refused event. Raises NotFound, Invalid and Forbidden.
    """
    row = _locked(tx, merchant_id, case_id)
    desk.decide(tx, merchant_id, case_id, "released", actor=actor, reason=reason)
    if row.action == "flag":
        return Settled(case_id, "released", row.status, row.reason)
    [done] = retry(tx, [row.inbox_id], actor=actor, reason=reason)
    return Settled(case_id, "released", done.status, done.reason, done.detail)


def reject_case(tx: Tx, merchant_id: int, case_id: int, *, actor: Actor, reason: str) -> Settled:
    """Refuse an event that was held, for good; or undo a flagged one by an event that voids all that is left of it.

    Raises NotFound, Invalid and Forbidden.
    """
    row = _locked(tx, merchant_id, case_id)
    desk.decide(tx, merchant_id, case_id, "rejected", actor=actor, reason=reason)
    if row.action == "hold":
        detail = f"a person rejected it: velocity case {case_id}"
        refused = (row.inbox_id, "rejected", "velocity_rejected", detail, row.correlation, False)
        store.set_outcomes(tx, [refused])
        return Settled(case_id, "rejected", "rejected", "velocity_rejected", detail)
    type_ = _UNDONE_BY[row.type]
    if type_ is None:
        return Settled(case_id, "rejected", row.status, row.reason)
    event_id = f"case-{case_id}"
    text = _undoing(row, type_, event_id, clock.business_now(tx))
    [done] = apply(tx, [Parsed(Delivery(f"velocity:{case_id}", 0, text), parse_event(text), None)])
    return Settled(case_id, "rejected", done.status, done.reason, done.detail, event_id)


def _locked(tx: Tx, merchant_id: int, case_id: int) -> Any:
    """A case with its event; the event's row is locked, as who applies or retries it locks it."""
    inbox_id = desk.case(tx, merchant_id, case_id).inbox_id
    repair_store.by_id(tx, [inbox_id], lock=True)
    return desk.case(tx, merchant_id, case_id)


def _undoing(row: Any, type_: str, event_id: str, now: datetime) -> str:
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "merchant": row.merchant,
        "type": type_,
        "time": now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "card": row.card,
            "related_event": {"source": row.source, "id": row.event_id},
        },
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
