"""Merging: a customer had two cards, and one of them takes over what the other holds.

Ada's old card has 30 points in a lot that ends with the year; her new one owes 20:

>>> from datetime import UTC, datetime
>>> from domain.loyalty.rules.cards import Card, credit
>>> from domain.loyalty.rules.corrections import adjust
>>> from domain.loyalty.rules.policies import Calendar
>>> from domain.loyalty.rules.programs import Program
>>> program = Program(id=1, merchant_id=1, key="beans", zone="UTC", currency="eur",
...     earn_points=1, earn_per_amount=100, expiration=(Calendar(12, 31),))
>>> at = datetime(2026, 3, 10, tzinfo=UTC)
>>> old, new = (Card(id=i, merchant_id=1, program=program, number=f"C{i}", customer_id=f"u{i}",
...     last_activity_at=at, lots=[]) for i in (1, 2))
>>> _ = credit(old, "points_earned", 30, happened_at=at, at=at, explanation={})
>>> _ = adjust(new, -20, "a mistake", happened_at=at, at=at)

The lot moves as it is, and pays the debt:

>>> moves = merge(old, new, "same customer", at)
>>> old.balance, new.balance, new.debt
(0, 10, 0)
>>> [(lot.remaining, lot.expires_at.year) for lot in new.lots]
[(10, 2027)]
>>> [(entry.card.number, entry.type, entry.points) for entry in moves.after]
[('C1', 'points_adjustment', -30), ('C2', 'points_adjustment', 30), ('C1', 'card_deactivated', 0)]
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.loyalty.rules.cards import Card, Entry, balance_limit, book, pay_debts
from domain.loyalty.rules.corrections import adjust, take_back
from domain.loyalty.rules.programs import MAX_BALANCE, Refusal
from domain.loyalty.rules.stamps import adjust_stamps


@dataclass(slots=True)
class Moves:
    """What a merge books. ``before``: while each lot is still where it was; ``after``: once the lots and open
    holds have moved. ``points`` are those that moved in lots, which ``out`` and ``into`` tell of."""

    points: int
    debt: int
    stamps: int
    holds: int
    before: list[Entry] = field(default_factory=list)
    after: list[Entry] = field(default_factory=list)
    out: Entry | None = None
    into: Entry | None = None


def merge(old: Card, new: Card, reason: str, at: datetime) -> Moves | Refusal:
    """Have ``new`` take over the points, stamps, debt and holds of ``old``, both brought to ``at`` before.

    A debt of the old card is settled there and taken back from the new one by the rules of any clawback:
    pending points, other lots, then debt. Then the lots move, each with its own deadline and terms, and pay
    what the new card owes. The inactivity deadline is the later of the two.
    """
    away: dict[str, Any] = {"rule": "merged_into", "card": new.number}
    come: dict[str, Any] = {"rule": "merged_from", "card": old.number}
    moves = Moves(0, old.debt, old.stamps, len(old.holds))
    if old.debt:
        settled = adjust(old, old.debt, reason, happened_at=at, at=at)
        taken = take_back(
            new,
            "points_adjustment",
            moves.debt,
            original=None,
            happened_at=at,
            at=at,
            explanation=come | {"debt": moves.debt},
        )
        for booked in (settled, taken):
            if isinstance(booked, Refusal):
                return booked
            booked.reason = reason
            moves.before.append(booked)
        moves.before[0].explanation = away | {"debt": moves.debt}
    refusal = _move_points(old, new, moves, (away, come), at)
    if refusal is not None:
        return refusal
    for card, stamps, explained in ((old, -old.stamps, away), (new, old.stamps, come)):
        if stamps:
            stamped = adjust_stamps(card, stamps, reason, happened_at=at, at=at)
            if isinstance(stamped, Refusal):
                return stamped
            stamped.explanation = explained | {"stamps": moves.stamps}
            moves.after.append(stamped)
    moves.after.append(book(old, "card_deactivated", 0, at, at, away))
    for entry in moves.after:
        entry.reason = reason
    _join(old, new)
    return moves


def _move_points(
    old: Card, new: Card, moves: Moves, why: tuple[dict[str, Any], dict[str, Any]], at: datetime
) -> Refusal | None:
    assert old.lots is not None, "both cards are loaded whole"
    assert new.lots is not None, "both cards are loaded whole"
    lots = [lot for lot in old.lots if lot.remaining]
    moves.points = sum(lot.remaining for lot in lots)
    assert old.balance == moves.points, "what the card owed is settled"
    if new.balance + moves.points > MAX_BALANCE:
        return balance_limit()
    if moves.points:
        away, come = (one | {"points": moves.points} for one in why)
        moves.out = book(old, "points_adjustment", -moves.points, at, at, away)
        moves.into = book(new, "points_adjustment", moves.points, at, at, come)
        moves.after += [moves.out, moves.into]
    # In stored order, which decides among equals.
    new.lots = sorted([*new.lots, *lots], key=lambda lot: lot.id or MAX_BALANCE)
    new.holds = sorted([*new.holds, *old.holds], key=lambda held: held.id)
    old.lots, old.holds = [], []
    for held in new.holds:
        held.card_id = new.id
    if moves.into is not None:
        moves.into.repaid = pay_debts(new, lots)
    return None


def _join(old: Card, new: Card) -> None:
    new.last_activity_at = max(old.last_activity_at, new.last_activity_at)
    new.deadline = max((d for d in (old.deadline, new.deadline) if d is not None), default=None)
    # A lot must not count as lapsed for a period that was the other card's.
    if old.expired_through is None or new.expired_through is None:
        new.expired_through = None
    else:
        new.expired_through = min(old.expired_through, new.expired_through)
    looks = [d for d in (old.check_on, new.check_on, new.deadline) if d is not None]
    # Only what is there is timed; a time-out that is not needed costs one look of the sweep.
    new.check_on = min(looks, default=None)
    new.awaits |= old.awaits
    old.awaits, old.active = frozenset(), False
    old.deadline = old.check_on = None
    old.reshaped = new.reshaped = True
