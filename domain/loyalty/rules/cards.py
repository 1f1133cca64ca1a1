"""A card in memory: each function books one change on it and returns the history row, or refuses.

The card advances as it goes, so that many events of one card can be applied in order before anything
is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.loyalty.rules.lots import Debt, Lot, consume, spendable
from domain.loyalty.rules.policies import deadline_of
from domain.loyalty.rules.programs import MAX_BALANCE, Program, Refusal, inactive
from domain.loyalty.rules.times import effective_time, inactivity_deadline


@dataclass(slots=True, eq=False)
class Recent:
    """An earn or a stamp of late, less what was voided of it. ``row`` is its entry, or its stored id."""

    at: datetime
    points: int
    stamps: int
    row: Entry | int = 0


@dataclass(slots=True, eq=False)
class Card:
    """A card's state. ``lots`` are its open ones, as far as the rules will look; None where they will not.

    ``debts`` are its open ones, oldest first. ``awaits`` names the events that another one waits for.
    """

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
    debt: int = 0
    debts: list[Debt] = field(default_factory=list)
    # Earns and stamps that limits and tiers look at; None where the program has neither.
    recent: list[Recent] | None = None
    awaits: frozenset[str] = frozenset()
    # Whether more than its points, timers and sequence changed.
    reshaped: bool = False


@dataclass(slots=True, eq=False)
class Original:
    """An earlier row that a correction refers to: an earn or a redemption, and what became of it.

    ``undone`` is what its voids took back or restored so far, with what they could not take. ``lot`` is
    what an earn credited; ``spent`` what each lot gave to a redemption and has not got back, in the
    order of consumption.
    """

    card_id: int
    type: str
    points: int
    stamps: int
    at: datetime
    undone: int = 0
    lot: Lot | None = None
    spent: list[tuple[Lot, int]] = field(default_factory=list)
    purchase_amount: int | None = None
    purchase_currency: str | None = None
    stored_id: int = 0
    # The row itself, where it was made in this batch.
    entry: Entry | None = None

    @property
    def id(self) -> int:
        """Its row's id, once that is stored."""
        return self.entry.id if self.entry else self.stored_id

    def undo(self, card: Card, amount: int) -> None:
        """Note that a correction undid ``amount`` of it, which limits and tiers then do not count."""
        self.undone += amount
        row = self.entry or self.stored_id
        for recent in card.recent or ():
            if recent.row == row:
                recent.points -= amount if recent.points else 0
                recent.stamps -= amount if recent.stamps else 0


@dataclass(slots=True, eq=False)
class Entry:
    """One row of a card's history, before it has an id.

    ``happened_at`` is the event's time, ``at`` the time that the rules went by. A credit brings a
    ``lot`` or gives back to lots (``restored``), a debit tells what each lot gave; what no lot could give
    is a ``debt``, or ``not_taken`` where the program forbids that. ``repaid`` are debts that a credit paid.
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
    stamps: int = 0
    original: Original | None = None
    reason: str | None = None
    not_taken: int = 0
    debt: Debt | None = None
    restored: Sequence[tuple[Lot, int]] = ()
    repaid: Sequence[tuple[Debt, Lot, int]] = ()
    # What was redeemed, as the catalogue or the program had it then: id, cost, description.
    reward: tuple[str | None, int, str | None] | None = None


def enrol(card: Card, *, happened_at: datetime, at: datetime) -> list[Entry]:
    """Open a new card: its first row, and the program's welcome bonus if it gives one."""
    entries = [book(card, "card_created", 0, happened_at, at, {})]
    bonus = card.program.welcome_bonus
    if bonus:
        explained = {"rule": "welcome_bonus", "points": bonus}
        given = credit(
            card, "welcome_bonus", bonus, happened_at=happened_at, at=at, explanation=explained
        )
        assert isinstance(given, Entry), "a bonus fits on an empty card"
        entries.append(given)
    return entries


def turn_to(card: Card, happened_at: datetime, now: datetime) -> tuple[datetime, list[Entry]]:
    """Bring ``card`` to the time that an event counts at, which any event does first.

    Returns that time, and the expiries that were due by then.
    """
    at = effective_time(
        happened_at,
        now,
        backdating_days=card.program.backdating_days,
        expired_through=card.expired_through,
    )
    return at, book_due_expiry(card, at)


def mismatch(card: Card, customer_id: str | None) -> Refusal | None:
    """The refusal of an event that names another customer than the card's, else None."""
    if customer_id is not None and customer_id != card.customer_id:
        return Refusal("customer_mismatch", f"card {card.number} belongs to another customer")
    return None


def usable(card: Card) -> Refusal | None:
    """The refusal of a card that can neither earn nor redeem, else None. Corrections do not ask."""
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
        return balance_limit()
    pending = timedelta(card.program.pending_days if type_ == "points_earned" else 0)
    lot = Lot(points, points, occurred_at=at, available_at=at + pending)
    lot.expires_at = deadline_of(card.program.expiration, at, card.program.tz)
    entry = book(card, type_, points, happened_at, at, explanation)
    entry.lot = lot
    if card.lots is not None:
        card.lots.append(lot)
    if card.debt:
        entry.repaid = pay_debts(card, [lot])
    note_activity(card, type_, at)
    arm(card, [lot])
    if card.recent is not None and type_ == "points_earned":
        card.recent.append(Recent(happened_at, points, 0, entry))
    return entry


def balance_limit() -> Refusal:
    """The refusal of points, or of a debt, beyond what every reader of JSON holds exactly."""
    return Refusal("balance_limit", f"a card holds, or owes, at most {MAX_BALANCE} points")


def pay_debts(card: Card, lots: Iterable[Lot]) -> list[tuple[Debt, Lot, int]]:
    """Pay what the card owes from ``lots`` that were just credited, the oldest debt first."""
    paid: list[tuple[Debt, Lot, int]] = []
    for lot in lots:
        for debt in card.debts:
            part = min(debt.remaining, lot.free)
            if part:
                debt.remaining -= part
                lot.remaining -= part
                card.debt -= part
                paid.append((debt, lot, part))
    if paid:
        card.reshaped = True
    return paid


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
    entry = book(card, "points_redeemed", -points, happened_at, at, explanation)
    entry.allocations = taken
    note_activity(card, "points_redeemed", at)
    return entry


def book_due_expiry(card: Card, at: datetime) -> list[Entry]:
    """Expire what has passed its deadline at ``at``: a lot its own, or all of them the card's.

    Each deadline makes a row that is dated at it, whoever books it and when; in the order of deadlines.
    Nothing is booked for a period that ended with nothing to expire.
    """
    entries: list[Entry] = []
    period_ends = card.deadline if card.deadline is not None and card.deadline <= at else None
    own = {lot.expires_at for lot in card.lots or () if lot.free and lot.expires_at is not None}
    for due in sorted(due for due in own if due <= at):
        if period_ends is not None and due >= period_ends:
            break
        gone = [lot for lot in card.lots or () if lot.free and lot.expires_at == due]
        entries.append(_expire(card, gone, due, {"policy": "lot"}))
    if period_ends is not None:
        last_activity = card.last_activity_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        card.deadline, card.expired_through = None, period_ends
        if card.balance > 0:
            assert card.lots is not None, "lots are loaded for every card whose deadline may pass"
            explained = {"policy": "inactivity", "last_activity_at": last_activity}
            gone = [lot for lot in card.lots if lot.free]
            if gone:
                entries.append(_expire(card, gone, period_ends, explained))
    return entries


def _expire(card: Card, lots: Sequence[Lot], due: datetime, explained: Mapping[str, Any]) -> Entry:
    taken = [(lot, lot.free) for lot in lots]
    for lot, part in taken:
        lot.remaining -= part
        lot.expired += part
    points = sum(part for _, part in taken)
    entry = book(card, "points_expired", -points, due, due, explained)
    entry.allocations = taken
    return entry


def book(
    card: Card,
    type_: str,
    points: int,
    happened_at: datetime,
    at: datetime,
    explanation: Mapping[str, Any],
) -> Entry:
    """Advance the card by one row."""
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


def note_activity(card: Card, type_: str, at: datetime) -> None:
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


def arm(card: Card, lots: Iterable[Lot]) -> None:
    """Have the sweep look at the card no later than the deadlines of ``lots`` that were just filled."""
    for lot in lots:
        if lot.free and lot.expires_at is not None:
            card.check_on = min(card.check_on or lot.expires_at, lot.expires_at)
