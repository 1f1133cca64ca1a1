"""Restore points that expired, by an operator who says why."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.ledger import service as ledger
from domain.loyalty import rules
from domain.loyalty.rules import Card, Refusal
from domain.loyalty.rules.policies import MAX_DAYS
from domain.loyalty.rules.restoring import Expired, restore
from domain.loyalty.rules.times import start_of_day_after
from domain.loyalty.service.batch import Batch, keep_due
from domain.loyalty.service.reasons import checked_reason
from domain.loyalty.service.transfers import transfer_for
from domain.loyalty.store import cards as card_store
from domain.loyalty.store import corrections, history, holds, programs
from domain.loyalty.store import restoring as store

REQUEST_MAX: Final = 255
"""Longest name of a restore."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore gave back, or would: ``result`` is restored, already, or would_restore."""

    card: str
    result: str
    points: int
    expires_at: datetime
    balance: int


@dataclass(frozen=True, slots=True)
class Grace:
    """How long restored points live: ``until`` a moment (UTC, exclusive), or for so many ``days``; neither: for
    the program's `restore_days`."""

    until: datetime | None = None
    days: int | None = None

    def deadline(self, card: Card, now: datetime) -> datetime:
        """When they expire. Raises Invalid."""
        if self.until is not None and self.days is not None:
            raise Invalid("until", "give either until or days")
        if self.until is not None:
            if not now < self.until <= now + timedelta(MAX_DAYS):
                raise Invalid("until", "give a moment ahead, within ten years")
            return self.until
        days = card.program.restore_days if self.days is None else self.days
        if not 1 <= days <= MAX_DAYS:
            raise Invalid("days", f"give 1 to {MAX_DAYS}")
        return start_of_day_after(now, days, card.program.tz)


def restore_points(
    tx: Tx,
    merchant_id: int,
    number: str,
    request_id: str,
    *,
    points: int | None,
    grace: Grace,
    actor: Actor,
    reason: str,
    now: datetime,
    dry_run: bool = False,
) -> Restored:
    """Give back ``points`` that expired on a card, or all of them, at business time ``now``, UTC.

    Once for each ``request_id`` of the merchant: repeated, it tells what was done. Each row names the expiry
    that it restores, and over all of them never more than it took. Raises Invalid and NotFound.
    """
    reason = checked_reason(reason)
    if not request_id.strip() or len(request_id) > REQUEST_MAX or "\x00" in request_id:
        raise Invalid("id", f"name the restore in 1 to {REQUEST_MAX} characters")
    if points is not None and points <= 0:
        raise Invalid("points", "give a positive number, or none for all that expired")
    known = {p.id: p for p in programs.of_merchants(tx, [merchant_id])}
    card = card_store.lock(tx, {(merchant_id, number)}, known).get((merchant_id, number))
    if card is None:
        raise NotFound("card", number)
    made = store.made(tx, merchant_id, request_id)
    if made is not None:
        if made.card_id != card.id or made.asked != points:
            raise Invalid("id", "a restore of this name was another one: choose another name")
        return Restored(card.number, "already", made.points, made.expires_at, card.balance)
    return _restore(
        tx, card, request_id, points, grace, actor=actor, reason=reason, now=now, dry_run=dry_run
    )


def _restore(
    tx: Tx,
    card: Card,
    request_id: str,
    points: int | None,
    grace: Grace,
    *,
    actor: Actor,
    reason: str,
    now: datetime,
    dry_run: bool,
) -> Restored:
    until = grace.deadline(card, now)
    card_store.load_lots(tx, [(card, None)], now, now)
    holds.load_open(tx, [card])
    corrections.load_debts(tx, [card] if card.debt else [])
    batch = Batch(now, {(card.merchant_id, card.number): card}, {})
    _, timed_out, due = rules.turn_to(card, now, now)
    keep_due(batch, card, timed_out, due)
    nobody = (None,) * len(history.PROVENANCE_COLUMNS)
    if not dry_run and (due or timed_out):
        # What is due now is booked first, and can be restored too.
        history.write(tx, batch.entries, [card], batch.holds)
    expired = [Expired(*row) for row in store.expired(tx, card.id)]
    if dry_run:
        expired += [Expired(2**62 + entry.seq, card.id, entry.seq, -entry.points) for entry in due]
    entries = restore(card, expired, points, until, reason, now)
    if isinstance(entries, Refusal):
        raise Invalid("points", entries.sentence)
    given = sum(entry.points for entry in entries)
    if dry_run:
        return Restored(card.number, "would_restore", given, until, card.balance)
    history.write(tx, [(entry, None, nobody) for entry in entries], [card])
    store.keep(
        tx,
        merchant_id=card.merchant_id,
        request_id=request_id,
        card_id=card.id,
        asked=points,
        points=given,
        expires_at=until,
        reason=reason,
        restored_at=now,
    )
    audit.record(
        tx,
        actor,
        "card.points_restored",
        merchant_id=card.merchant_id,
        subject_kind="card",
        subject_id=card.id,
        reason=reason,
        after={"points": given, "expires_at": until.isoformat(), "id": request_id},
    )
    ledger.post(tx, [transfer_for(entry) for entry in [*due, *entries]])
    return Restored(card.number, "restored", given, until, card.balance)
