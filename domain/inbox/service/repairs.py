"""What operators do: retry refused and dead events, and edit them as new revisions.

An operator may retry what a replay leaves as it was decided (``rules.STANDING_REASONS``): a person looks
at what changed and answers for it, by name, in the audit trail. A filter takes such events only if it
names their reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from domain import clock
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Forbidden, Invalid, NotFound
from domain.inbox import repair_store, store
from domain.inbox.rules import MAX_DETAIL, STANDING_REASONS, Incoming, storable
from domain.inbox.service.applying import apply_fresh
from domain.money import MAX_AMOUNT
from payspool_client import Event, InvalidEvent, parse_event

RETRY_BATCH: Final = 100
"""Events that one transaction of a retry takes."""
REASON_MAX: Final = 500
"""Characters of an operator's reason."""
_RETRYABLE: Final = ("rejected", "dead")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which refused and dead events: None does not filter. ``since``: received from then on (UTC)."""

    merchant_id: int | None = None
    reason: str | None = None
    status: str | None = None
    since: datetime | None = None
    type: str | None = None

    @property
    def filters(self) -> dict[str, Any]:
        """As the store takes it."""
        return {
            "merchant_id": self.merchant_id,
            "reason": self.reason,
            "statuses": [self.status] if self.status else list(_RETRYABLE),
            "since": self.since,
            "type": self.type,
        }

    @property
    def left_out(self) -> frozenset[str]:
        """Reasons that only a filter by that reason takes: those refusals were decisions."""
        return STANDING_REASONS - {self.reason or ""}


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of an event: status and reason before and after, and a sentence."""

    number: int
    before: str
    before_reason: str | None
    status: str
    reason: str | None
    detail: str | None

    @property
    def tried(self) -> bool:
        """Whether it was one that can be retried."""
        return self.before in _RETRYABLE


@dataclass(frozen=True, slots=True)
class Edited:
    """The new revision's number, and what became of it."""

    revision: int
    outcome: Retried


def selected(tx: Tx, selection: Selection, after: int = 0, limit: int = RETRY_BATCH) -> list[Any]:
    """Events of a selection after a number, ascending; not locked."""
    return repair_store.to_retry(tx, selection.filters, selection.left_out, after, limit)


def by_number(tx: Tx, numbers: Sequence[int]) -> list[Any]:
    """Events by their numbers, ascending, as `selected` gives them. Raises NotFound."""
    rows = repair_store.by_id(tx, numbers)
    _assert_all(numbers, rows)
    return rows


def count_selected(tx: Tx, selection: Selection, at_most: int | None = None) -> tuple[int, int]:
    """How many events a selection has, and how many it leaves out because their refusal stands.

    Each is counted up to ``at_most`` (None: all).
    """
    return repair_store.count_to_retry(tx, selection.filters, selection.left_out, at_most)


def retry(
    tx: Tx, numbers: Sequence[int], *, actor: Actor, reason: str | None = None
) -> list[Retried]:
    """Apply refused and dead events again with their present content, in one transaction.

    What is applied or waits by now (a worker applied a replay) is left alone and told so. Returns one
    result for each, by number. Raises NotFound.
    """
    rows = repair_store.by_id(tx, numbers, lock=True)
    _assert_all(numbers, rows)
    now = clock.business_now(tx)
    results = {row.id: _as_it_is(row) for row in rows}
    fresh: list[Incoming] = []
    for row in rows:
        if row.status not in _RETRYABLE:
            continue
        read = _read(row, now)
        if isinstance(read, Incoming):
            fresh.append(read)
        elif read is not None:
            code, sentence = read
            store.set_outcomes(tx, [(row.id, "rejected", code, sentence, None, True)])
            results[row.id] = _after(row, "rejected", code, sentence)
    for event, one in zip(
        fresh, apply_fresh(tx, fresh, {e.inbox_id for e in fresh}, now), strict=True
    ):
        row = next(row for row in rows if row.id == event.inbox_id)
        results[row.id] = _after(row, one.status, one.reason, one.detail)
    for row in rows:
        if results[row.id].tried:
            _audit(tx, actor, "event.retried", row, results[row.id], reason)
    return [results[number] for number in sorted(set(numbers))]


def edit(
    tx: Tx,
    number: int,
    data: str,
    *,
    actor: Actor,
    reason: str,
    type: str | None = None,
    time: datetime | None = None,
) -> Edited:
    """Give a refused or dead event new content, and apply it.

    ``data`` is the JSON text of the new `data`; ``type`` and ``time`` stay unless given. It is checked
    before anything is written. What it said before is kept: a replay of any revision is a duplicate.

    Raises NotFound; Forbidden (it is applied or waits); Invalid (the field at fault).
    """
    if not reason.strip() or len(reason) > REASON_MAX:
        raise Invalid("reason", f"say in 1 to {REASON_MAX} characters why the event is edited")
    rows = repair_store.by_id(tx, [number], lock=True)
    _assert_all([number], rows)
    (row,) = rows
    if row.status not in _RETRYABLE:
        raise Forbidden(_not_editable(row))
    now = clock.business_now(tx)
    event = _edited(row, data, type, time, now)
    if event.content_hash == bytes(row.content_hash):
        raise Invalid(
            "data", "says what the event says already; `payspool events retry` tries it again"
        )
    repair_store.keep_first_revision(tx, row.id)
    revision = repair_store.add_revision(
        tx,
        row.id,
        type=event.type,
        occurred_at=event.time,
        content_hash=event.content_hash,
        data=json.dumps(event.payload, separators=(",", ":")),
        actor_kind=actor.kind,
        actor_id=actor.id,
        reason=reason,
    )
    # Under its old transaction, what had nothing to reverse because of this event must know that it
    # moved away.
    left = {(row.merchant_id, row.correlation)} if row.correlation else set()
    (one,) = apply_fresh(tx, [_incoming(row, event)], {row.id}, now, left=left)
    after = _after(row, one.status, one.reason, one.detail)
    _audit(tx, actor, "event.edited", row, after, reason, revision)
    return Edited(revision, after)


def _assert_all(numbers: Sequence[int], rows: Sequence[Any]) -> None:
    missing = sorted(set(numbers) - {row.id for row in rows})
    if missing:
        hint = "`payspool events status` shows an event's number."
        raise NotFound("event", str(missing[0]), hint)


def _read(row: Any, now: datetime) -> Incoming | tuple[str, str] | None:
    """The event of a row; or why it is refused; None if what is stored cannot even be read as one."""
    if (
        row.data is None
        or row.type is None
        or row.occurred_at is None
        or row.retired_at is not None
    ):
        return None
    try:
        return _incoming(row, parse_event(_text_of(row, _as_sent(row.data)), now=now))
    except InvalidEvent as error:
        return error.reason, storable(error.message)[:MAX_DETAIL]


def _as_sent(data: Any) -> str:
    return json.dumps(_with_floats(data), ensure_ascii=False, separators=(",", ":"))


def _with_floats(value: Any) -> Any:
    """PostgreSQL writes the number 1e300 as an integer of 301 digits, which no producer may send."""
    if isinstance(value, dict):
        return {key: _with_floats(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_floats(one) for one in value]
    return float(value) if isinstance(value, int) and abs(value) > MAX_AMOUNT else value


def _edited(row: Any, data: str, type: str | None, time: datetime | None, now: datetime) -> Event:
    try:
        json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid("data", f"is not JSON: {error}") from None
    for name, value in (("type", type or row.type), ("time", time or row.occurred_at)):
        if value is None:
            raise Invalid(name, f"could not be read of what was sent; give it with --{name}")
    if row.retired_at is not None:
        raise Forbidden(
            f"The merchant {row.merchant} is retired: nothing of it is applied any more."
        )
    try:
        return parse_event(_text_of(row, data, type, time), now=now)
    except InvalidEvent as error:
        raise Invalid(error.field or "event", error.message) from None


def _text_of(row: Any, data: str, type: str | None = None, time: datetime | None = None) -> str:
    at: datetime = time or row.occurred_at
    envelope = {
        "specversion": "1.0",
        "id": row.event_id,
        "source": row.source,
        "merchant": row.merchant,
        "type": type or row.type,
        "time": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    head = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
    return f'{head[:-1]},"data":{data}}}'


def _incoming(row: Any, event: Event) -> Incoming:
    return Incoming(
        row.id, row.merchant_id, row.source, row.event_id, event.type, event.time, event.data
    )


def _not_editable(row: Any) -> str:
    if row.status == "waiting":
        return (
            f"Event {row.id} is not refused: it waits for {row.correlation}, and is applied with it."
            " Only refused and dead events are edited."
        )
    return (
        f"Event {row.id} is applied, and what is applied is not edited. To correct a wrong amount send"
        " conversion.refunded or an adjustment under a new id."
    )


def _as_it_is(row: Any) -> Retried:
    return _after(row, row.status, row.reason, row.detail)


def _after(row: Any, status: str, reason: str | None, detail: str | None) -> Retried:
    return Retried(row.id, row.status, row.reason, status, reason, detail)


def _audit(
    tx: Tx,
    actor: Actor,
    action: str,
    row: Any,
    result: Retried,
    reason: str | None,
    revision: int | None = None,
) -> None:
    audit.record(
        tx,
        actor,
        action,
        merchant_id=row.merchant_id,
        subject_kind="event",
        subject_id=row.id,
        reason=reason,
        before={"status": row.status, "reason": row.reason},
        after={"status": result.status, "reason": result.reason}
        | ({} if revision is None else {"revision": revision}),
    )
