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
from domain.loyalty import service as loyalty
from domain.loyalty.service import velocity_desk as desk
from payspool_client import parse_event

SOURCE: Final = "payspool/velocity"
"""Of the events that undo what a person rejected."""
_UNDONE_BY: Final = {
    "loyalty.points_earned": "loyalty.points_voided",
    "loyalty.points_redeemed": "loyalty.points_voided",
    "loyalty.points_held": "loyalty.hold_released",
    "loyalty.stamp_earned": "loyalty.stamp_voided",
    # Nothing voids stamps that were spent.
    "loyalty.stamp_redeemed": "loyalty.stamp_adjusted",
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

    @property
    def sentence(self) -> str:
        """What was decided, and what came of it."""
        which = f"the event {self.undone_by} that undoes it" if self.undone_by else "its event"
        why = f" ({self.reason}: {self.detail})" if self.reason else ""
        return f"{self.outcome.capitalize()} case {self.case}: {which} is {self.status}{why}."


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
    """Refuse an event that was held, for good; or undo a flagged one by an event that voids all that is left of it,
    gives back the stamps that it spent, or lets go what it holds; what it held and was captured since is voided.

    The rules may refuse that (of stamps that were spent since, none are taken): the result says so, and the case
    has ended. Raises NotFound, Invalid and Forbidden.
    """
    row = _locked(tx, merchant_id, case_id)
    desk.decide(tx, merchant_id, case_id, "rejected", actor=actor, reason=reason)
    if row.action == "hold":
        detail = f"a person rejected it: velocity case {case_id}"
        refused = (row.inbox_id, "rejected", "velocity_rejected", detail, row.correlation, False)
        store.set_outcomes(tx, [refused])
        return Settled(case_id, "rejected", "rejected", "velocity_rejected", detail)
    type_ = _UNDONE_BY[row.type]
    if type_ == "loyalty.stamp_adjusted":
        spent = -sum(made.stamps for made in loyalty.transactions_of(tx, row.inbox_id))
        reason = f"given back: velocity case {case_id} was rejected"
        return _undo(tx, row, type_, f"case-{case_id}", {"stamps": spent, "reason": reason})
    done = _undo(tx, row, type_, f"case-{case_id}", _related(row.source, row.event_id))
    if done.reason == "hold_captured":
        capture = desk.capture_of(tx, row.inbox_id)
        redeemed = _related(capture.source, capture.event_id)
        return _undo(tx, row, "loyalty.points_voided", f"case-{case_id}-capture", redeemed)
    return done


def _undo(tx: Tx, row: Any, type_: str, event_id: str, data: dict[str, Any]) -> Settled:
    text = _text(row, type_, event_id, data, clock.business_now(tx))
    [done] = apply(tx, [Parsed(Delivery(f"velocity:{event_id}", 0, text), parse_event(text), None)])
    return Settled(row.id, "rejected", done.status, done.reason, done.detail, event_id)


def _related(source: str, event_id: str) -> dict[str, Any]:
    return {"related_event": {"source": source, "id": event_id}}


def _locked(tx: Tx, merchant_id: int, case_id: int) -> Any:
    """A case with its event; the event's row is locked, as who applies or retries it locks it."""
    inbox_id = desk.case(tx, merchant_id, case_id).inbox_id
    repair_store.by_id(tx, [inbox_id], lock=True)
    return desk.case(tx, merchant_id, case_id)


def _text(row: Any, type_: str, event_id: str, data: dict[str, Any], now: datetime) -> str:
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "merchant": row.merchant,
        "type": type_,
        "time": now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {"card": row.card, **data},
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
