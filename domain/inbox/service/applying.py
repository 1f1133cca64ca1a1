"""Applying: load → apply → flush, with what waited for the events that came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from domain import clock
from domain.db import Tx, advisory_lock
from domain.earnings import service as earnings
from domain.inbox import store
from domain.inbox.anonymizing import Customer, forget
from domain.inbox.apply import Decided, apply_subjects
from domain.inbox.rules import (
    MAX_DETAIL,
    Incoming,
    Outcome,
    Parsed,
    correlation_of,
    lock_key,
    storable,
    transaction_of,
)
from domain.inbox.service.claiming import claimed, keep_unreadable
from domain.loyalty import service as loyalty
from payspool_client import EVENT_TYPES

RECHECK_BATCH: Final = 200
"""Waiting events that one transaction of the sweep looks at again."""
UNREADABLE_NOW: Final = "no_longer_valid"
"""Why a stored event is dead that an older version accepted and this one cannot read."""


@dataclass(slots=True)
class Stored:
    """The stored events that a transaction takes up besides what came: how a guilty one is found.

    ``dead``: those that are not to be applied but kept as dead, with the sentence of the bug that each
    provokes. Filled in: ``came``, the events that were applied as they came; ``read``, the others that
    were taken up, in their order; ``buried``, those of ``dead`` that are dead now, with their types.
    """

    dead: Mapping[int, str] = field(default_factory=dict)
    came: set[int] = field(default_factory=set)
    read: dict[int, None] = field(default_factory=dict)
    buried: dict[int, str] = field(default_factory=dict)


def apply(
    tx: Tx,
    parsed: Sequence[Parsed],
    stored: Stored | None = None,
    *,
    act: loyalty.Act | None = None,
    at_once: bool = False,
) -> list[Outcome]:
    """Apply deliveries in order; returns one outcome for each. A refusal is a row, never an exception.

    ``act``: who stands behind them at a till, which is kept beside those that are applied. ``at_once``, and at a
    till: somebody waits for the answer, so that an event of a card that is not there is refused. Else it
    waits for its card; not when it was refused before and comes again.
    A copy inside the batch is a duplicate of what the batch decides of the first.
    """
    batch = claimed(tx, parsed)
    fresh = [incoming for _, incoming in batch.fresh]
    if act is None and not at_once:
        for incoming in fresh:
            if incoming.inbox_id not in batch.retried:
                incoming.card_by = batch.now + loyalty.CARD_WAIT
    if act is not None:
        for incoming in fresh:
            loyalty.keep_act(tx, incoming.merchant_id, incoming.inbox_id, act)
    decided = apply_fresh(tx, fresh, batch.retried, batch.now, stored=stored)
    for (position, incoming), one in zip(batch.fresh, decided, strict=True):
        batch.outcomes[position] = Outcome(
            one.status, incoming.type, incoming.inbox_id, one.reason, one.detail
        )
    outcomes = [outcome for outcome in batch.outcomes if outcome is not None]
    assert len(outcomes) == len(parsed), "every delivery has an outcome"
    return outcomes


def recheck_waiting(
    tx: Tx, after_id: int = 0, stored: Stored | None = None
) -> tuple[int, int | None]:
    """Look at waiting events again; returns how many no longer wait, and where to go on (None: done).

    The advisory locks make waiting without losing certain; this is the net below them.
    """
    rows = store.waiting(tx, after_id, RECHECK_BATCH)
    if not rows:
        return 0, None
    advisory_lock(tx, (lock_key(row.merchant_id, row.correlation) for row in rows))
    keys = {(row.merchant_id, row.correlation) for row in rows}
    settled = apply_stored(tx, keys, stored or Stored())
    still = {inbox_id for inbox_id, one in settled.items() if one.status == "waiting"}
    left = sum(1 for row in rows if row.id not in still)
    return left, rows[-1].id if len(rows) == RECHECK_BATCH else None


def mark_dead(tx: Tx, parsed: Parsed, error: str) -> None:
    """Keep an event that a bug stopped, alone in its transaction, so that its neighbours go on."""
    batch = claimed(tx, [parsed])
    for _, event in batch.fresh:
        again = event.inbox_id in batch.retried
        detail = storable(error)[:MAX_DETAIL]
        store.set_outcomes(tx, [(event.inbox_id, "dead", "bug", detail, None, again)])


def keep_unclaimable(tx: Tx, parsed: Parsed, error: str) -> None:
    """Keep by its message what a bug stopped even from being marked as dead: the last resort."""
    keep_unreadable(tx, [(parsed.delivery, "bug", error)], clock.business_now(tx))


def apply_fresh(
    tx: Tx,
    fresh: Sequence[Incoming],
    retried: set[int],
    now: datetime,
    *,
    left: Iterable[tuple[int, str]] = (),
    stored: Stored | None = None,
) -> list[Decided]:
    """Apply claimed events with what waited for them; writes what became of all. One decision for each.

    ``left`` are (merchant, correlation) that an edited event belonged to: who waits there is looked at too.
    """
    correlations = {
        (e.merchant_id, c)
        for e in fresh
        if (c := correlation_of(e.type, e.data, e.source)) is not None
    } | set(left)
    # What waits for a card is taken up by who enrols it, not by the next that waits.
    awaited = loyalty.cards_awaited(tx, fresh)
    advisory_lock(tx, (lock_key(*key) for key in correlations | awaited))
    besides = stored or Stored()
    besides.came |= {e.inbox_id for e in fresh}
    waited, refused = _stored(tx, correlations, besides.came, besides)
    decided, wakes, forgotten = _decide(tx, [*waited, *fresh], refused, now)
    _write_outcomes(tx, [*waited, *fresh], decided, {e.inbox_id for e in waited}, retried)
    for customer in forgotten:
        forget(tx, customer)
    # What waited for an event of this batch follows it here; one of the batch itself may be among it.
    woken = apply_stored(tx, wakes, besides) if wakes else {}
    return [
        woken.get(e.inbox_id, one) for e, one in zip(fresh, decided[len(waited) :], strict=True)
    ]


def apply_stored(tx: Tx, correlations: set[tuple[int, str]], besides: Stored) -> dict[int, Decided]:
    """Apply what waits under some correlations, and what waited for that in turn; decisions by inbox id.

    The caller holds the correlations' locks.
    """
    settled: dict[int, Decided] = {}
    while correlations:
        stored, refused = _stored(tx, correlations, set(), besides)
        decided, correlations, _ = _decide(tx, stored, refused, clock.business_now(tx))
        _write_outcomes(tx, stored, decided, {e.inbox_id for e in stored}, set())
        settled |= {e.inbox_id: one for e, one in zip(stored, decided, strict=True)}
    return settled


def _stored(
    tx: Tx, correlations: set[tuple[int, str]], but: set[int], besides: Stored
) -> tuple[list[Incoming], set[tuple[int, str]]]:
    """What waits under some correlations, oldest first, and which conversions were refused under them."""
    if not correlations:
        return [], set()
    rows = [row for row in store.by_correlation(tx, correlations) if row.id not in but]
    waiting: list[Incoming] = []
    dead: list[tuple[int, str, str, str, None, bool]] = []
    for row in rows:
        if row.status not in ("waiting", "applied"):
            continue
        if row.id in besides.dead:
            dead.append(
                (row.id, "dead", "bug", storable(besides.dead[row.id])[:MAX_DETAIL], None, False)
            )
            besides.buried[row.id] = row.type
            continue
        event = _read(row)
        if isinstance(event, Incoming):
            waiting.append(event)
        else:
            dead.append((row.id, "dead", UNREADABLE_NOW, event, None, False))
    if dead:
        store.set_outcomes(tx, dead)
    refused = {
        (row.merchant_id, transaction_of(row.correlation))
        for row in rows
        if row.status == "rejected" and row.type == "conversion.recorded"
    }
    waiting.sort(key=lambda event: event.order)
    besides.read |= {
        event.inbox_id: None for event in waiting if event.inbox_id not in besides.came
    }
    return waiting, refused


def _read(row: Any) -> Incoming | str:
    """A stored event, or why it cannot be read: the rules may have been tightened since it was stored."""
    model = EVENT_TYPES.get(row.type)
    if model is None:
        why = f"there is no event type {row.type!r} any more"
    else:
        try:
            data = model.model_validate(row.data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            why = f"{'.'.join(['data', *map(str, first['loc'])])}: {first['msg']}"
        else:
            return Incoming(
                row.id,
                row.merchant_id,
                row.source,
                row.event_id,
                row.type,
                row.occurred_at,
                data,
                row.received_at + loyalty.CARD_WAIT,
            )
    sentence = (
        "This version cannot read the event that an older one stored"
        f" ({why}). Correct it with `payspool events edit`."
    )
    return storable(sentence)[:MAX_DETAIL]


def _decide(
    tx: Tx, events: Sequence[Incoming], refused: set[tuple[int, str]], now: datetime
) -> tuple[list[Decided], set[tuple[int, str]], list[Customer]]:
    applied = apply_subjects(tx, events, refused, now)
    earnings.record(tx, applied.earnings, beside=applied.transfers, holds=applied.holds)
    return applied.decided, applied.wakes, applied.forgotten


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
