"""Claiming: which deliveries are new, which are copies, conflicts, or refusals that may be tried again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from pydantic_core import to_json

from domain import clock
from domain.db import Tx
from domain.inbox import repair_store, store
from domain.inbox.rules import (
    MAX_DETAIL,
    STANDING_REASONS,
    Delivery,
    Incoming,
    Outcome,
    Parsed,
    message_key,
    storable,
)
from domain.merchants import service as merchants
from payspool_client import Event, InvalidEvent
from payspool_client.events import TIME_AHEAD_MAX

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
class Batch:
    """A batch while it is claimed."""

    outcomes: list[Outcome | None]
    now: datetime
    named: list[_Named] = field(default_factory=list)
    # events to apply, with the position of their delivery
    fresh: list[tuple[int, Incoming]] = field(default_factory=list)
    retried: set[int] = field(default_factory=set)


def claimed(tx: Tx, parsed: Sequence[Parsed]) -> Batch:
    """Claim what can be named, keep what cannot; `fresh` is left to be applied."""
    batch = Batch([None] * len(parsed), clock.business_now(tx))
    _identify(tx, batch, parsed)
    if batch.named:
        _claim(tx, batch)
    return batch


def _identify(tx: Tx, batch: Batch, parsed: Sequence[Parsed]) -> None:
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
        keep_unreadable(tx, unreadable, batch.now)


def keep_unreadable(tx: Tx, kept: Sequence[tuple[Delivery, str, str]], now: datetime) -> None:
    """Keep (delivery, reason, sentence): each text once, whatever message brings it."""
    store.insert_unreadable(
        tx,
        [
            (
                message_key(delivery.message_id),
                delivery.position,
                reason,
                storable(detail)[:MAX_DETAIL],
                raw,
                sha256(raw).digest(),
            )
            for delivery, reason, detail in kept
            for raw in [delivery.text.encode("utf-8", "surrogatepass")]
        ],
        now,
    )


def _claim(tx: Tx, batch: Batch) -> None:
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
    revisions = _revisions(tx, batch, old)
    for named in batch.named:
        key, says, before = named.key, named.says, old.get(named.key)
        inbox_id = before.id if before else new[key]
        stands = bytes(before.content_hash) if before else first[key].says.content_hash
        if (inbox_id, says.content_hash) in revisions and says.content_hash != stands:
            outcome = Outcome("duplicate", says.type, inbox_id)
        elif says.content_hash != stands:
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


def _revisions(tx: Tx, batch: Batch, old: Mapping[Key, Any]) -> set[tuple[int, bytes]]:
    """What an event said before it was edited, or says since: a replay of that is no conflict."""
    other = {
        before.id
        for named in batch.named
        if (before := old.get(named.key)) and bytes(before.content_hash) != named.says.content_hash
    }
    return repair_store.known_revisions(tx, other) if other else set()


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
