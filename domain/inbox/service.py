"""Use cases of the inbox: claim → load → apply → flush, for one event or five hundred alike.

Everything happens in the caller's one transaction, and the caller acknowledges after its commit. Lock
order: inbox rows, correlation locks, then what the subjects lock, kept balances last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json

from domain import clock
from domain.db import Tx, advisory_lock
from domain.earnings import service as earnings
from domain.inbox import store
from domain.inbox.apply import Decided, apply_subjects
from domain.inbox.rules import (
    MAX_DETAIL,
    STANDING_REASONS,
    Delivery,
    Incoming,
    Outcome,
    Parsed,
    correlation_of,
    lock_key,
    message_key,
    storable,
)
from domain.merchants import service as merchants
from payspool_client import EVENT_TYPES, Event, InvalidEvent
from payspool_client.events import TIME_AHEAD_MAX

RECHECK_BATCH: Final = 200
"""Waiting events that one transaction of the sweep looks at again."""

Key = tuple[int, str, str]


@dataclass(slots=True)
class _Named:
    """A delivery with a readable identity and a known merchant. ``error``: refused before the rules."""

    position: int
    key: Key
    raw: str
    event: Event | None
    error: InvalidEvent | None

    @property
    def says(self) -> Event | InvalidEvent:
        said = self.error or self.event
        assert said is not None
        return said

    @property
    def data(self) -> Mapping[str, Any] | None:
        return self.event.payload if self.event else self.error.data if self.error else None

    @property
    def texts(self) -> tuple[str | None, str | None]:
        """`data` as JSON, or the raw text where it could not be read."""
        data = self.data
        if data is None:
            return None, storable(self.raw)
        return to_json(data).decode(), None


@dataclass(slots=True)
class _Batch:
    """A batch while it is claimed."""

    outcomes: list[Outcome | None]
    now: datetime
    named: list[_Named] = field(default_factory=list)
    # events to apply, with the position of their delivery
    fresh: list[tuple[int, Incoming]] = field(default_factory=list)
    retried: set[int] = field(default_factory=set)


def apply(tx: Tx, parsed: Sequence[Parsed]) -> list[Outcome]:
    """Apply deliveries in order; returns one outcome for each. A refusal is a row, never an exception.

    A copy inside the batch is a duplicate of what the batch decides of the first.
    """
    batch = _claimed(tx, parsed)
    decided = _apply_fresh(tx, [incoming for _, incoming in batch.fresh], batch.retried, batch.now)
    for (position, incoming), one in zip(batch.fresh, decided, strict=True):
        batch.outcomes[position] = Outcome(
            one.status, incoming.type, incoming.inbox_id, one.reason, one.detail
        )
    outcomes = [outcome for outcome in batch.outcomes if outcome is not None]
    assert len(outcomes) == len(parsed), "every delivery has an outcome"
    return outcomes


def recheck_waiting(tx: Tx, after_id: int = 0) -> tuple[int, int | None]:
    """Look at waiting events again; returns how many no longer wait, and where to go on (None: done).

    The advisory locks make waiting without losing certain; this is the net below them.
    """
    rows = store.waiting(tx, after_id, RECHECK_BATCH)
    if not rows:
        return 0, None
    advisory_lock(tx, (lock_key(row.merchant_id, row.correlation) for row in rows))
    before = {row.id for row in rows}
    decided = _apply_stored(tx, {(row.merchant_id, row.correlation) for row in rows})
    left = sum(1 for inbox_id, one in decided if inbox_id in before and one.status != "waiting")
    return left, rows[-1].id if len(rows) == RECHECK_BATCH else None


def status(tx: Tx, merchant_id: int, source: str, event_id: str) -> dict[str, Any] | None:
    """What became of an event, with the rows that it made; None if it never arrived."""
    row = store.find(tx, merchant_id, source, event_id)
    if row is None:
        return None
    return {
        "source": row.source,
        "id": row.event_id,
        "type": row.type,
        "status": row.status,
        "reason": row.reason,
        "detail": row.detail,
        "occurred_at": row.occurred_at,
        "received_at": row.received_at,
        "attempts": row.attempts,
        "conflicts": row.conflicts,
        "made": store.rows_made_by(tx, row.id),
    }


def counts(tx: Tx, merchant_id: int | None = None) -> list[Any]:
    """Events by type, status and reason."""
    return store.counts(tx, merchant_id)


def unreadable_counts(tx: Tx) -> list[Any]:
    """Messages without a readable identity or a known merchant, by reason."""
    return store.unreadable_counts(tx)


def unreadable(tx: Tx, limit: int) -> list[Any]:
    """Messages without a readable identity or a known merchant, newest first."""
    return store.unreadable(tx, limit)


def mark_dead(tx: Tx, parsed: Parsed, error: str) -> None:
    """Keep an event that a bug stopped, alone in its transaction, so that its neighbours go on."""
    batch = _claimed(tx, [parsed])
    for _, event in batch.fresh:
        again = event.inbox_id in batch.retried
        detail = storable(error)[:MAX_DETAIL]
        store.set_outcomes(tx, [(event.inbox_id, "dead", "bug", detail, None, again)])


def keep_unclaimable(tx: Tx, parsed: Parsed, error: str) -> None:
    """Keep by its message what a bug stopped even from being marked as dead: the last resort."""
    _keep_unreadable(tx, [(parsed.delivery, "bug", error)], clock.business_now(tx))


def _claimed(tx: Tx, parsed: Sequence[Parsed]) -> _Batch:
    batch = _Batch([None] * len(parsed), clock.business_now(tx))
    _identify(tx, batch, parsed)
    if batch.named:
        _claim(tx, batch)
    return batch


def _identify(tx: Tx, batch: _Batch, parsed: Sequence[Parsed]) -> None:
    identities = [
        one.event.identity if one.event else one.error.identity if one.error else None
        for one in parsed
    ]
    known = merchants.find(tx, {identity.merchant for identity in identities if identity})
    unreadable: list[tuple[Delivery, str, str]] = []
    for position, (one, identity) in enumerate(zip(parsed, identities, strict=True)):
        merchant = known.get(identity.merchant) if identity else None
        if identity and merchant and not merchant.retired:
            error = one.error
            if one.event and one.event.time - batch.now > TIME_AHEAD_MAX:
                error = _in_future(one.event)
            key = (merchant.id, identity.source, identity.id)
            batch.named.append(_Named(position, key, one.delivery.text, one.event, error))
            continue
        if identity is None:
            assert one.error is not None
            reason, detail = one.error.reason, one.error.message
        elif merchant is None:
            reason, detail = (
                "unknown_merchant",
                f"the merchant {identity.merchant!r} does not exist",
            )
        else:
            reason, detail = "merchant_retired", f"the merchant {identity.merchant!r} is retired"
        unreadable.append((one.delivery, reason, detail))
        type_ = one.event.type if one.event else None
        batch.outcomes[position] = Outcome("unreadable", type_, None, reason, detail)
    if unreadable:
        _keep_unreadable(tx, unreadable, batch.now)


def _keep_unreadable(tx: Tx, kept: Sequence[tuple[Delivery, str, str]], now: datetime) -> None:
    store.insert_unreadable(
        tx,
        [
            (
                message_key(delivery.message_id),
                delivery.position,
                reason,
                storable(detail)[:MAX_DETAIL],
                delivery.text.encode("utf-8", "surrogatepass"),
            )
            for delivery, reason, detail in kept
        ],
        now,
    )


def _claim(tx: Tx, batch: _Batch) -> None:
    first: dict[Key, _Named] = {}
    for named in batch.named:
        first.setdefault(named.key, named)
    new = {
        (r.merchant_id, r.source, r.event_id): r.id
        for r in store.claim(tx, [_row(first[key]) for key in sorted(first)], batch.now)
    }
    old: dict[Key, Any] = {}
    if len(new) < len(first):
        existing = store.existing(tx, sorted(set(first) - set(new)))
        old = {(r.merchant_id, r.source, r.event_id): r for r in existing}
    conflicts: list[tuple[int, bytes, str | None, str | None]] = []
    refused_again: list[tuple[int, str, str | None, str | None, str | None, bool]] = []
    led: set[Key] = set()
    for named in batch.named:
        key, says, before = named.key, named.says, old.get(named.key)
        inbox_id = before.id if before else new[key]
        stands = bytes(before.content_hash) if before else first[key].says.content_hash
        if says.content_hash != stands:
            conflicts.append((inbox_id, says.content_hash, *named.texts))
            outcome = Outcome("conflict", says.type, inbox_id, "conflict", _CONFLICT)
        elif key in led or (before and _stands(before)):
            outcome = Outcome("duplicate", says.type, inbox_id)
        elif named.error:  # refused before the rules: what it says breaks the contract
            reason, detail = named.error.reason, storable(named.error.message)[:MAX_DETAIL]
            outcome = Outcome("rejected", says.type, inbox_id, reason, detail)
            if before:
                refused_again.append((inbox_id, "rejected", reason, detail, None, True))
        else:
            assert named.event is not None
            event = named.event
            incoming = Incoming(inbox_id, *key, event.type, event.time, event.data)
            batch.fresh.append((named.position, incoming))
            batch.retried |= {inbox_id} if before else set()
            outcome = None
        if says.content_hash == stands:
            led.add(key)
        batch.outcomes[named.position] = outcome
    if conflicts:
        store.insert_conflicts(tx, sorted(conflicts, key=lambda row: row[:2]), batch.now)
    if refused_again:
        store.set_outcomes(tx, refused_again)


def _row(named: _Named) -> tuple[Any, ...]:
    says, error = named.says, named.error
    return (
        *named.key,
        says.type,
        says.time,
        says.content_hash,
        *named.texts,
        "rejected" if error else "applied",
        error.reason if error else None,
        storable(error.message)[:MAX_DETAIL] if error else None,
    )


def _stands(old: Any) -> bool:
    """Whether what became of an event stays so when the same event comes again."""
    return old.status in ("applied", "waiting") or (
        old.status == "rejected" and old.reason in STANDING_REASONS
    )


_CONFLICT: Final = (
    "This (source, id) came before with other content, which stands. To correct a wrong amount send"
    " conversion.refunded or an adjustment under a new id; never other content under the same id."
)


def _in_future(event: Event) -> InvalidEvent:
    return InvalidEvent(
        "time_in_future",
        f"time is more than {TIME_AHEAD_MAX.seconds // 60} minutes ahead of our clock; check the clock that wrote it.",
        field="time",
        identity=event.identity,
        content_hash=event.content_hash,
        type=event.type,
        time=event.time,
        data=event.payload,
    )


def _apply_fresh(
    tx: Tx, fresh: Sequence[Incoming], retried: set[int], now: datetime
) -> list[Decided]:
    correlations = {
        (e.merchant_id, c) for e in fresh if (c := correlation_of(e.type, e.data)) is not None
    }
    advisory_lock(tx, (lock_key(*key) for key in correlations))
    stored, refused = _stored(tx, correlations, {e.inbox_id for e in fresh})
    decided = _decide(tx, [*stored, *fresh], refused, now)
    _write_outcomes(tx, [*stored, *fresh], decided, {e.inbox_id for e in stored}, retried)
    return decided[len(stored) :]


def _apply_stored(tx: Tx, correlations: set[tuple[int, str]]) -> list[tuple[int, Decided]]:
    stored, refused = _stored(tx, correlations, set())
    decided = _decide(tx, stored, refused, clock.business_now(tx))
    _write_outcomes(tx, stored, decided, {e.inbox_id for e in stored}, set())
    return [(e.inbox_id, one) for e, one in zip(stored, decided, strict=True)]


def _stored(
    tx: Tx, correlations: set[tuple[int, str]], but: set[int]
) -> tuple[list[Incoming], set[tuple[int, str]]]:
    """What waits under some correlations, oldest first, and which conversions were refused under them."""
    if not correlations:
        return [], set()
    rows = [row for row in store.by_correlation(tx, correlations) if row.id not in but]
    waiting = [
        Incoming(
            row.id,
            row.merchant_id,
            row.source,
            row.event_id,
            row.type,
            row.occurred_at,
            EVENT_TYPES[row.type].model_validate(row.data),
        )
        for row in rows
        if row.status in ("waiting", "applied")
    ]
    refused = {
        (row.merchant_id, row.data["transaction_id"])
        for row in rows
        if row.status == "rejected" and row.type == "conversion.recorded"
    }
    return sorted(waiting, key=lambda event: event.order), refused


def _decide(
    tx: Tx, events: Sequence[Incoming], refused: set[tuple[int, str]], now: datetime
) -> list[Decided]:
    applied = apply_subjects(tx, events, refused, now)
    earnings.record(tx, applied.earnings, beside=applied.transfers)
    return applied.decided


def _write_outcomes(
    tx: Tx,
    events: Sequence[Incoming],
    decided: Sequence[Decided],
    stored: set[int],
    retried: set[int],
) -> None:
    rows = [
        (
            event.inbox_id,
            one.status,
            one.reason,
            storable(one.detail)[:MAX_DETAIL] if one.detail else None,
            one.correlation,
            event.inbox_id in retried,
        )
        for event, one in zip(events, decided, strict=True)
        # New rows were written as applied: only what differs costs a write.
        if one.status != "applied"
        or one.reason
        or event.inbox_id in stored
        or event.inbox_id in retried
    ]
    if rows:
        store.set_outcomes(tx, rows)
