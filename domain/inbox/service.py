"""Use cases of the inbox: claim → load → apply → flush, for one event or five hundred alike.

Everything happens in the caller's one transaction, and the caller acknowledges after its commit. Lock
order: inbox rows, correlation locks, then what the subjects lock, kept balances last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from domain import clock
from domain.db import Tx, advisory_lock
from domain.earnings import service as earnings
from domain.inbox import store
from domain.inbox.apply import Decided, apply_subjects
from domain.inbox.rules import (
    MAX_DETAIL,
    STANDING_REASONS,
    Incoming,
    Outcome,
    Parsed,
    correlation_of,
    lock_key,
    storable,
)
from domain.merchants import service as merchants
from payspool_client import EVENT_TYPES, Event, InvalidEvent
from payspool_client.events import TIME_AHEAD_MAX

RECHECK_BATCH: Final = 200
"""Waiting events that one transaction of the sweep looks at again."""

Key = tuple[int, str, str]


@dataclass(slots=True)
class _Claim:
    """A batch while it is claimed."""

    outcomes: list[Outcome | None]
    now: datetime
    # position → (merchant id, what was parsed), for everything with a readable identity
    known: dict[int, tuple[int, Parsed]] = field(default_factory=dict)
    first: dict[Key, int] = field(default_factory=dict)
    # events to apply, with the position of their delivery
    fresh: list[tuple[int, Incoming]] = field(default_factory=list)
    retried: set[int] = field(default_factory=set)


def apply(tx: Tx, parsed: Sequence[Parsed]) -> list[Outcome]:
    """Apply deliveries in order; returns one outcome for each. A refusal is a row, never an exception."""
    batch = _Claim([None] * len(parsed), clock.business_now(tx))
    _identify(tx, batch, parsed)
    _claim(tx, batch)
    decided = _apply_fresh(tx, [incoming for _, incoming in batch.fresh], batch.retried, batch.now)
    for (position, incoming), one in zip(batch.fresh, decided, strict=True):
        batch.outcomes[position] = Outcome(
            one.status, incoming.type, incoming.inbox_id, one.reason, one.detail
        )
    return [outcome for outcome in batch.outcomes if outcome is not None]


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


def mark_dead(tx: Tx, parsed: Parsed, error: str) -> None:
    """Keep an event that a bug stopped, alone in its transaction, so that its neighbours go on."""
    batch = _Claim([None], clock.business_now(tx))
    _identify(tx, batch, [parsed])
    _claim(tx, batch)
    if batch.fresh:
        inbox_id = batch.fresh[0][1].inbox_id
        store.set_outcomes(tx, [(inbox_id, "dead", "bug", error[:MAX_DETAIL], None, True)])


def _identify(tx: Tx, batch: _Claim, parsed: Sequence[Parsed]) -> None:
    keys = {p.event.merchant for p in parsed if p.event}
    keys |= {p.error.identity.merchant for p in parsed if p.error and p.error.identity}
    known = merchants.find(tx, keys) if keys else {}
    for position, one in enumerate(parsed):
        identity = one.event.identity if one.event else one.error.identity if one.error else None
        if identity is None:
            assert one.error is not None
            _unreadable(tx, batch, position, one, one.error.reason, one.error.message)
            continue
        merchant = known.get(identity.merchant)
        if merchant is None or merchant.retired:
            reason = "unknown_merchant" if merchant is None else "merchant_retired"
            detail = f"the merchant {identity.merchant!r} {'does not exist' if merchant is None else 'is retired'}"
            _unreadable(tx, batch, position, one, reason, detail)
            continue
        batch.known[position] = (merchant.id, one)


def _unreadable(
    tx: Tx, batch: _Claim, position: int, one: Parsed, reason: str, detail: str
) -> None:
    delivery = one.delivery
    store.insert_unreadable(
        tx,
        delivery.message_id,
        delivery.position,
        reason,
        storable(detail)[:MAX_DETAIL],
        delivery.text.encode("utf-8", "surrogatepass"),
        batch.now,
    )
    batch.outcomes[position] = Outcome(
        "unreadable", one.event.type if one.event else None, None, reason, detail
    )


def _claim(tx: Tx, batch: _Claim) -> None:
    rows: dict[Key, tuple[Any, ...]] = {}
    for position, (merchant_id, one) in batch.known.items():
        event, error = one.event, one.error
        if event and event.time - batch.now > TIME_AHEAD_MAX:
            error = _in_future(event)
        said = error or event
        assert said is not None
        identity = error.identity if error else event.identity if event else None
        assert identity is not None
        key = (merchant_id, identity.source, identity.id)
        if key in batch.first:
            continue  # compared with the first of them below
        batch.first[key] = position
        data = event.payload if event else error.data if error else None
        rows[key] = (
            *key,
            said.type,
            said.time,
            said.content_hash,
            None if data is None else json.dumps(data, separators=(",", ":")),
            storable(one.delivery.text) if data is None else None,
            "rejected" if error else "applied",
            error.reason if error else None,
            storable(error.message) if error else None,
        )
    if not rows:
        return
    ordered = [rows[key] for key in sorted(rows)]
    new = {(r.merchant_id, r.source, r.event_id): r.id for r in store.claim(tx, ordered, batch.now)}
    old = {}
    if len(new) < len(rows):
        existing = store.existing(tx, sorted(set(rows) - set(new)))
        old = {(r.merchant_id, r.source, r.event_id): r for r in existing}
    for position, (merchant_id, one) in batch.known.items():
        identity = one.event.identity if one.event else one.error.identity if one.error else None
        assert identity is not None
        key = (merchant_id, identity.source, identity.id)
        _settle(tx, batch, position, key, rows[key], new.get(key), old.get(key))


def _settle(
    tx: Tx,
    batch: _Claim,
    position: int,
    key: Key,
    row: tuple[Any, ...],
    new_id: int | None,
    old: Any,
) -> None:
    """Decide what a delivery is: new, a duplicate, a conflict, or a retry of what was refused."""
    merchant_id, one = batch.known[position]
    event, error = one.event, one.error
    said = event or error
    assert said is not None
    is_first = batch.first[key] == position
    claimed_hash, claimed_id = (
        (row[5], new_id) if new_id is not None else (bytes(old.content_hash), old.id)
    )
    assert claimed_id is not None
    if said.content_hash != claimed_hash:
        data = event.payload if event else error.data if error else None
        store.insert_conflict(
            tx,
            claimed_id,
            said.content_hash,
            None if data is None else json.dumps(data),
            storable(one.delivery.text) if data is None else None,
            batch.now,
        )
        batch.outcomes[position] = Outcome("conflict", said.type, claimed_id, "conflict", _CONFLICT)
    elif not is_first or (old is not None and _stands(old)):
        batch.outcomes[position] = Outcome("duplicate", said.type, claimed_id)
    elif row[8] == "rejected":  # refused before the rules: what it says breaks the contract
        batch.outcomes[position] = Outcome("rejected", said.type, claimed_id, row[9], row[10])
        if old is not None:
            store.set_outcomes(tx, [(claimed_id, "rejected", row[9], row[10], None, True)])
    else:
        assert event is not None
        if old is not None:
            batch.retried.add(claimed_id)
        incoming = Incoming(claimed_id, merchant_id, event.type, event.time, event.data)
        batch.fresh.append((position, incoming))


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
            row.type,
            row.occurred_at,
            EVENT_TYPES[row.type].model_validate(row.data),
        )
        for row in sorted(rows, key=lambda row: (row.occurred_at, row.id))
        if row.status in ("waiting", "applied")
    ]
    refused = {
        (row.merchant_id, row.data["transaction_id"])
        for row in rows
        if row.status == "rejected" and row.type == "conversion.recorded"
    }
    return waiting, refused


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
