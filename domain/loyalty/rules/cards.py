"""A card in memory: each function books one change on it and returns the history row, or refuses.

The card advances as it goes, so that many events of one card can be applied in order before anything
is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.loyalty.rules.lots import Lot, consume, spendable
from domain.loyalty.rules.programs import MAX_BALANCE, Program, Refusal, inactive
from domain.loyalty.rules.times import effective_time, inactivity_deadline


@dataclass(slots=True, eq=False)
class Card:
    """A card's state. ``lots`` are its open ones, as far as the rules will look; None where they will not."""

    id: int
    merchant_id: int
    program: Program
    number: str
    customer_id: str
    last_activity_at: datetime
    lots: list[Lot] | None
    active: bool = True
    balance: int = 0
    stamps: int = 0
    seq: int = 0
    deadline: datetime | None = None
    expired_through: datetime | None = None
    check_on: datetime | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """One row of a card's history, before it has an id.

    ``happened_at`` is the event's time, ``at`` the time that the rules went by. A credit brings a
    ``lot``, a debit tells what each lot gave.
    """

    card: Card
    seq: int
    type: str
    points: int
    balance_after: int
    stamps_after: int
    happened_at: datetime
    at: datetime
    explanation: Mapping[str, Any]
    lot: Lot | None = None
    allocations: Sequence[tuple[Lot, int]] = ()
    id: int = 0


def enrol(card: Card, *, happened_at: datetime, at: datetime) -> list[Entry]:
    """Open a new card: its first row, and the program's welcome bonus if it gives one."""
    entries = [_book(card, "card_created", 0, happened_at, at, {})]
    bonus = card.program.welcome_bonus
    if bonus:
        explained = {"rule": "welcome_bonus", "points": bonus}
        given = credit(
            card, "welcome_bonus", bonus, happened_at=happened_at, at=at, explanation=explained
        )
        assert isinstance(given, Entry), "a bonus fits on an empty card"
        entries.append(given)
    return entries


def turn_to(card: Card, happened_at: datetime, now: datetime) -> tuple[datetime, Entry | None]:
    """Bring ``card`` to the time that an event counts at, which any event does first.

    Returns that time, and the expiry that was due by then.
    """
    at = effective_time(
        happened_at,
        now,
        backdating_days=card.program.backdating_days,
        expired_through=card.expired_through,
    )
    return at, book_due_expiry(card, at)


def usable(card: Card, customer_id: str | None) -> Refusal | None:
    """The refusal of a card that can neither earn nor redeem, else None."""
    if customer_id is not None and customer_id != card.customer_id:
        return Refusal("customer_mismatch", f"card {card.number} belongs to another customer")
    if not card.active:
        return Refusal("card_inactive", f"card {card.number} is deactivated")
    return inactive(card.program)


def credit(
    card: Card,
    type_: str,
    points: int,
    *,
    happened_at: datetime,
    at: datetime,
    explanation: Mapping[str, Any],
) -> Entry | Refusal:
    """Add ``points`` as a lot. What a purchase earns waits for the program's pending period."""
    if points <= 0:
        return Refusal("not_positive", "points must be a positive number")
    if card.balance + points > MAX_BALANCE:
        return Refusal("balance_limit", f"a card holds at most {MAX_BALANCE} points")
    pending = timedelta(card.program.pending_days if type_ == "points_earned" else 0)
    lot = Lot(points, points, occurred_at=at, available_at=at + pending)
    entry = _book(card, type_, points, happened_at, at, explanation)
    entry.lot = lot
    if card.lots is not None:
        card.lots.append(lot)
    _note_activity(card, type_, at)
    return entry


def redeem(
    card: Card, points: int, *, happened_at: datetime, at: datetime, explanation: Mapping[str, Any]
) -> Entry | Refusal:
    """Spend ``points`` from the lots that are spendable at ``at``."""
    if points <= 0:
        return Refusal("not_positive", "points must be a positive number")
    least = card.program.min_redemption
    if points < least:
        return Refusal("below_min_redemption", f"at least {least} points are redeemed at a time")
    assert card.lots is not None, "lots are loaded for every card with a redemption"
    available = spendable(card.lots, at)
    if points > available:
        return Refusal(
            "insufficient_points",
            f"card {card.number} has {available} spendable points, {points} were asked for",
        )
    taken = consume(card.lots, points, at)
    entry = _book(card, "points_redeemed", -points, happened_at, at, explanation)
    entry.allocations = taken
    _note_activity(card, "points_redeemed", at)
    return entry


def book_due_expiry(card: Card, at: datetime) -> Entry | None:
    """Expire the whole balance if the card's deadline has passed at ``at``.

    The row is dated at the deadline, whoever books it and when. None if nothing is due, or if the
    period ended with nothing to expire.
    """
    due = card.deadline
    if due is None or at < due:
        return None
    last_activity = card.last_activity_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    card.deadline, card.expired_through = None, due
    if card.balance <= 0:
        return None
    assert card.lots is not None, "lots are loaded for every card whose deadline may pass"
    taken = [(lot, lot.free) for lot in card.lots if lot.free]
    if not taken:
        return None
    for lot, part in taken:
        lot.remaining -= part
    points = sum(part for _, part in taken)
    explained = {"policy": "inactivity", "last_activity_at": last_activity}
    entry = _book(card, "points_expired", -points, due, due, explained)
    entry.allocations = taken
    return entry


def _book(
    card: Card,
    type_: str,
    points: int,
    happened_at: datetime,
    at: datetime,
    explanation: Mapping[str, Any],
) -> Entry:
    card.seq += 1
    card.balance += points
    return Entry(
        card,
        card.seq,
        type_,
        points,
        card.balance,
        card.stamps,
        happened_at,
        at,
        explanation,
    )


def _note_activity(card: Card, type_: str, at: datetime) -> None:
    """Move the deadline for activity of a qualifying type; a credit starts a period where none runs.

    Late news of older activity changes nothing. The deadline is a promise under the terms of that day,
    so a later, shorter policy takes effect with the next activity.
    """
    program, days = card.program, card.program.inactivity_days
    starts = card.deadline is None and days is not None
    if starts or (type_ in program.qualifying_types and at > card.last_activity_at):
        card.last_activity_at = max(card.last_activity_at, at)
        card.deadline = (
            None if days is None else inactivity_deadline(card.last_activity_at, days, program.tz)
        )
    # The sweep's timer: set for a card that starts to hold points, and never later than the deadline.
    if (
        card.deadline is not None
        and card.balance > 0
        and (card.check_on is None or card.check_on > card.deadline)
    ):
        card.check_on = card.deadline
