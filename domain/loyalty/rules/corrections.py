"""Corrections of a card: voids, clawbacks, adjustments, and taking it out of use.

A card earned 100 points and spent 80. The purchase is voided: 20 points are there to take, 80 are owed:

>>> from datetime import UTC, datetime
>>> from domain.loyalty.rules.cards import Card, Original, credit, redeem
>>> from domain.loyalty.rules.programs import Program
>>> program = Program(id=1, merchant_id=1, key="beans", zone="UTC", currency="eur",
...     earn_points=1, earn_per_amount=100)
>>> at = datetime(2026, 3, 10, tzinfo=UTC)
>>> card = Card(id=1, merchant_id=1, program=program, number="C1", customer_id="ada",
...     last_activity_at=at, lots=[])
>>> earned = credit(card, "points_earned", 100, happened_at=at, at=at, explanation={})
>>> _ = redeem(card, 80, happened_at=at, at=at, explanation={})
>>> original = original_of(earned)
>>> void(card, original, None, happened_at=at, at=at).points, card.balance, card.debt
(-100, -80, 80)

Whatever is credited later pays that first:

>>> _ = credit(card, "points_earned", 50, happened_at=at, at=at, explanation={})
>>> card.balance, card.debt
(-30, 30)
>>> void(card, original, 1, happened_at=at, at=at).reason
'already_voided'
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from domain.loyalty.rules.cards import (
    Card,
    Entry,
    Original,
    arm,
    balance_limit,
    book,
    credit,
    note_activity,
    pay_debts,
)
from domain.loyalty.rules.expiring import lapsed
from domain.loyalty.rules.lots import NEVER, Debt, Lot
from domain.loyalty.rules.programs import MAX_BALANCE, Refusal
from domain.loyalty.rules.times import start_of_day_after

VOIDABLE: Final = frozenset({"points_earned", "welcome_bonus", "points_redeemed"})
"""Rows of points that can be voided: earns and redemptions, never a void, an adjustment or an expiry."""


def original_of(entry: Entry) -> Original:
    """A row of this batch as something that a correction can refer to."""
    return Original(
        card_id=entry.card.id,
        type=entry.type,
        points=entry.points,
        stamps=entry.stamps,
        at=entry.at,
        lot=entry.lot,
        spent=list(entry.allocations),
        entry=entry,
        cash=max(entry.cash, 0),
        cash_currency=entry.explanation.get("currency"),
    )


def void(
    card: Card, original: Original, points: int | None, *, happened_at: datetime, at: datetime
) -> Entry | Refusal:
    """Take back an earn, or give back a redemption: ``points`` of it, or None for all that is left.

    Over all its voids never more than the original moved; what expired of an earn is not taken again.
    """
    if original.card_id != card.id:
        return Refusal("other_card", f"the event to void is not of card {card.number}")
    if original.type not in VOIDABLE:
        return Refusal("not_voidable", f"{original.type} cannot be voided: send an adjustment")
    expired = original.lot.expired if original.lot else 0
    left = abs(original.points) - original.undone - expired
    if left <= 0 and not expired:
        return Refusal("already_voided", "all of it was voided before")
    if left <= 0:
        return Refusal("nothing_to_void", f"nothing is left of it: {expired} points expired")
    wanted = left if points is None else points
    if wanted > left:
        return Refusal("void_exceeds_original", f"{left} points are left to void, not {wanted}")
    if original.points < 0:
        return _restore(card, original, wanted, happened_at=happened_at, at=at)
    explained = {"rule": "void", "points": wanted}
    return take_back(
        card,
        "points_voided",
        wanted,
        original=original,
        happened_at=happened_at,
        at=at,
        explanation=explained,
    )


def adjust(
    card: Card, points: int, reason: str, *, happened_at: datetime, at: datetime
) -> Entry | Refusal:
    """Correct a balance by hand, up or down; what goes beyond the balance is owed."""
    explained = {"rule": "adjustment", "points": points}
    kind = "points_adjustment"
    if points < 0:
        booked = take_back(
            card,
            kind,
            -points,
            original=None,
            happened_at=happened_at,
            at=at,
            explanation=explained,
        )
    else:
        booked = credit(card, kind, points, happened_at=happened_at, at=at, explanation=explained)
    if isinstance(booked, Entry):
        booked.reason = reason
    return booked


def take_back(
    card: Card,
    type_: str,
    points: int,
    *,
    original: Original | None,
    happened_at: datetime,
    at: datetime,
    explanation: Mapping[str, Any],
) -> Entry | Refusal:
    """Take ``points`` whether they are there or not: pending lots, the original's, the others, then debt.

    A program that forbids debt takes what is there; the row then says how much was not taken.
    """
    assert card.lots is not None, "lots are loaded for every card with a correction"
    own = original.lot if original else None
    taken: list[tuple[Lot, int]] = []
    missing = points
    for lot in _in_clawback_order(card.lots, own, at):
        part = min(lot.free, missing)
        if part:
            taken.append((lot, part))
            missing -= part
    owed = missing if card.program.allow_debt else 0
    if card.debt + owed > MAX_BALANCE:
        return balance_limit()
    for lot, part in taken:
        lot.remaining -= part
    not_taken = missing - owed
    entry = book(card, type_, not_taken - points, happened_at, at, explanation)
    entry.allocations, entry.original, entry.not_taken = taken, original, not_taken
    if owed:
        entry.debt = Debt(owed, owed)
        card.debts.append(entry.debt)
        card.debt += owed
        card.reshaped = True
    if original is not None:
        original.undo(card, points)
    return entry


def _in_clawback_order(lots: list[Lot], own: Lot | None, at: datetime) -> Iterator[Lot]:
    def rank(lot: Lot) -> tuple[bool, bool, datetime, datetime]:
        pending = lot.available_at > at
        return (not pending, lot is not own, lot.expires_at or NEVER, lot.occurred_at)

    return iter(sorted((lot for lot in lots if lot.free), key=rank))


def _restore(
    card: Card, original: Original, points: int, *, happened_at: datetime, at: datetime
) -> Entry | Refusal:
    """Give ``points`` of a redemption back to the lots that they came from, the last consumed first.

    As if less had been redeemed. Where the lot expired meanwhile (or the card did, for inactivity), they
    come back as a lot of their own that lives for the program's ``restore_days``.
    """
    if card.balance + points > MAX_BALANCE:
        return balance_limit()
    assert card.lots is not None, "lots are loaded for every card with a correction"
    restored: list[tuple[Lot, int]] = []
    kept: list[tuple[Lot, int]] = []
    missing, late = points, 0
    for lot, spent in reversed(original.spent):
        part = min(spent, missing)
        missing -= part
        if spent > part:
            kept.append((lot, spent - part))
        if part and (lapsed(card, lot) or (lot.expires_at is not None and lot.expires_at <= at)):
            late += part
        elif part:
            lot.remaining += part
            restored.append((lot, part))
    assert missing == 0, "voids never exceed what the redemption took"
    original.spent = kept[::-1]
    original.undone += points
    explained: dict[str, Any] = {"rule": "void", "points": points} | (
        {"expired_meanwhile": late} if late else {}
    )
    back = _share(original, original.undone) - _share(original, original.undone - points)
    if back:
        explained |= {"cash": -back, "currency": original.cash_currency}
    entry = book(card, "points_voided", points, happened_at, at, explained)
    entry.cash = -back
    entry.original, entry.restored = original, restored
    if late:
        until = start_of_day_after(at, card.program.restore_days, card.program.tz)
        entry.lot = Lot(late, late, occurred_at=at, available_at=at, expires_at=until)
        card.lots.append(entry.lot)
    filled = [lot for lot, _ in restored] + ([entry.lot] if entry.lot else [])
    if card.debt:
        entry.repaid = pay_debts(card, filled)
    note_activity(card, "points_voided", at)
    arm(card, filled)
    return entry


def _share(original: Original, undone: int) -> int:
    """Of the cash that a redemption paid, what goes with ``undone`` of its points; rounded down, so that
    voids of the parts take what one of the whole would."""
    return original.cash * undone // abs(original.points)


def set_active(
    card: Card,
    active: bool,
    reason: str | None,
    *,
    happened_at: datetime,
    at: datetime,
) -> Entry | Refusal:
    """Take a card out of use, or put it back. Its balance stays, and goes on to expire.

    While it is out of use it neither earns nor redeems; voids, refunds and adjustments correct it still.
    """
    if card.active == active:
        return Refusal(
            "card_active" if active else "card_inactive",
            f"card {card.number} is {'active' if active else 'deactivated'} already",
        )
    card.active, card.reshaped = active, True
    type_ = "card_reactivated" if active else "card_deactivated"
    entry = book(card, type_, 0, happened_at, at, {})
    entry.reason = reason
    return entry
