"""Holds: a redemption in two phases. Points are reserved, and then captured, released, or left to time out.

A card has 100 points. A till holds 60 of them for a quarter of an hour; 40 are left to spend:

>>> from datetime import UTC, datetime, timedelta
>>> from domain.loyalty.rules.cards import Card, credit, spendable_on
>>> from domain.loyalty.rules.programs import Program
>>> program = Program(id=1, merchant_id=1, key="beans", zone="UTC", currency="eur",
...     earn_points=1, earn_per_amount=100)
>>> at = datetime(2026, 3, 10, tzinfo=UTC)
>>> card = Card(id=1, merchant_id=1, program=program, number="C1", customer_id="ada",
...     last_activity_at=at, lots=[])
>>> _ = credit(card, "points_earned", 100, happened_at=at, at=at, explanation={})
>>> first, second = hold(card, 60, at=at), hold(card, 40, at=at)
>>> card.balance, spendable_on(card, at)
(100, 0)

The first is captured, for less than was held: the rest is free again. The second times out:

>>> capture(card, first, 50, happened_at=at, at=at).points, card.balance, spendable_on(card, at)
(-50, 50, 10)
>>> later = at + timedelta(minutes=15)
>>> [timed.points for timed in time_out(card, later)], spendable_on(card, later)
([40], 50)
>>> capture(card, second, None, happened_at=later, at=later).reason
'hold_timed_out'
"""

from datetime import datetime, timedelta

from domain.loyalty.rules.cards import (
    Card,
    Entry,
    book,
    note_activity,
    redeemable,
)
from domain.loyalty.rules.expiring import book_due_expiry
from domain.loyalty.rules.lots import Hold, consume
from domain.loyalty.rules.programs import Refusal
from domain.loyalty.rules.times import effective_time


def turn_to(
    card: Card, happened_at: datetime, now: datetime
) -> tuple[datetime, list[Hold], list[Entry]]:
    """Bring ``card`` to the time that an event counts at, which any event does first.

    Returns that time, the holds that timed out by then, and the expiries that were due.
    """
    at = effective_time(
        happened_at,
        now,
        backdating_days=card.program.backdating_days,
        expired_through=card.expired_through,
    )
    return at, time_out(card, at), book_due_expiry(card, at)


def hold(card: Card, points: int, *, at: datetime) -> Hold | Refusal:
    """Reserve ``points`` of what is spendable at ``at``, soonest to expire first.

    Until the program's ``hold_minutes`` are over nobody else spends them and they do not expire.
    """
    refusal = redeemable(card, points, at)
    if refusal is not None:
        return refusal
    assert card.lots is not None, "lots are loaded for every card with a hold"
    parts = consume(card.lots, points, at, reserve=True)
    until = at + timedelta(minutes=card.program.hold_minutes)
    placed = Hold(card.id, points, at, until, parts)
    card.holds.append(placed)
    # Never later than the end of a hold: what looks at the card then must see what it let go.
    card.check_on = min(card.check_on or until, until)
    return placed


def capture(
    card: Card, held: Hold, points: int | None, *, happened_at: datetime, at: datetime
) -> Entry | Refusal:
    """Redeem a hold, or ``points`` of it and release the rest. Its lots may have passed their deadline."""
    refusal = _closed(card, held)
    if refusal is not None:
        return refusal
    wanted = held.points if points is None else points
    if wanted > held.points:
        return Refusal("capture_exceeds_hold", f"{held.points} points are held, not {wanted}")
    _let_go(held)
    missing = wanted
    taken = []
    for lot, part in held.parts:
        spent = min(part, missing)
        if spent:
            lot.remaining -= spent
            missing -= spent
            taken.append((lot, spent))
    explained = {"rule": "hold", "points": wanted} | (
        {"held": held.points} if wanted < held.points else {}
    )
    entry = book(card, "points_redeemed", -wanted, happened_at, at, explained)
    entry.allocations, entry.reward = taken, held.reward
    _close(card, held, "captured", at)
    held.entry = entry
    note_activity(card, "points_redeemed", at)
    return entry


def release(card: Card, held: Hold, at: datetime) -> Refusal | None:
    """Give up a hold: its points can be spent again, and what passed its deadline meanwhile expires."""
    refusal = _closed(card, held)
    if refusal is None:
        _let_go(held)
        _close(card, held, "released", at)
    return refusal


def time_out(card: Card, at: datetime) -> list[Hold]:
    """Close the holds whose time is over at ``at``, each as of its end, whoever looks and when."""
    over = [held for held in card.holds if held.expires_at <= at]
    for held in over:
        _let_go(held)
        _close(card, held, "timed_out", held.expires_at)
    return over


def _let_go(held: Hold) -> None:
    for lot, part in held.parts:
        lot.held -= part


def _close(card: Card, held: Hold, status: str, at: datetime) -> None:
    held.status, held.closed_at = status, at
    card.holds.remove(held)


def _closed(card: Card, held: Hold) -> Refusal | None:
    if held.card_id != card.id:
        return Refusal("other_card", f"the hold is not of card {card.number}")
    if held.status == "open":
        return None
    said = {
        "captured": "it was captured before",
        "released": "it was released before",
        "timed_out": f"its time was over at {held.expires_at.isoformat()}; redeem the points anew",
    }
    return Refusal(f"hold_{held.status}", said[held.status])
