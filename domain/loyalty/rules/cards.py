"""A card in memory: each function books one change on it and returns the history row, or refuses.

The card advances as it goes, so that many events of one card can be applied in order before anything
is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from domain.loyalty.rules.lots import Debt, Hold, Lot, consume, spendable
from domain.loyalty.rules.policies import deadline_of
from domain.loyalty.rules.programs import MAX_BALANCE, Program, Refusal, inactive
from domain.loyalty.rules.times import inactivity_deadline


@dataclass(slots=True, eq=False)
class Recent:
    """An earn or a stamp of late, less what was voided of it. ``row`` is its entry, or its stored id."""

    at: datetime
    points: int
    stamps: int
    row: Entry | int = 0


@dataclass(slots=True)
class Standing:
    """A card's tier (None: none) as of the last count, after so many ``changes``; the next count is due
    ``due_at`` if nothing happens before. ``terms``: the version of the program whose tiers it was counted under,
    0 for none."""

    key: str | None = None
    points: int = 0
    changes: int = 0
    due_at: datetime | None = None
    terms: int = 1


@dataclass(slots=True, eq=False)
class Gone:
    """An expiry (its entry, or its stored id) of a card, as of ``at``: what is left to give back of it, and of what
    each lot lost."""

    row: Entry | int
    card_id: int
    at: datetime
    points: int
    parts: list[tuple[Lot, int]]


@dataclass(slots=True, eq=False)
class Lapse:
    """A period of inactivity that took points when it ``ended``: what a late proof of activity gives back.

    ``since`` is the end of the period before it, ``resumed_at`` when the card was first used again.
    """

    card_id: int
    ended: datetime
    last_activity_at: datetime
    since: datetime | None
    expiries: list[Gone]
    resumed_at: datetime | None = None


@dataclass(slots=True, eq=False)
class Card:
    """A card's state. ``lots`` are its open ones, as far as the rules will look; None where they will not.

    ``debts`` are its open ones, oldest first, and so are ``holds``, wherever a lot holds something.
    ``awaits`` names the events that another one waits for.
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
    holds: list[Hold] = field(default_factory=list)
    # Earns and stamps that limits and tiers look at; None where the program has neither.
    recent: list[Recent] | None = None
    awaits: frozenset[str] = frozenset()
    # Whether more than its points, timers and sequence changed.
    reshaped: bool = False
    # Cards that were merged into it and that an event names: their customers, by number.
    aliases: dict[str, str] = field(default_factory=dict)
    # None where the program has no tiers, or nothing of the batch can change it.
    tier: Standing | None = None
    # Periods of inactivity that an event of the batch may prove wrong, in order of their ends.
    lapses: list[Lapse] = field(default_factory=list)
    # Expiries that a redemption of the batch may have been before, in order.
    gone: list[Gone] = field(default_factory=list)

    @property
    def anonymized(self) -> bool:
        """Whether its customer is unknown for good."""
        return self.customer_id == f"anonymized-{self.id}"


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
    # What a redemption paid in cash, and in which currency.
    cash: int = 0
    cash_currency: str | None = None
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


@dataclass(slots=True, eq=False, repr=False)
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
    # Minor units that the cardholder earns by it, or (below 0) that are taken back.
    cash: int = 0

    def __repr__(self) -> str:
        moved = f"{self.stamps:+} stamps" if self.stamps else f"{self.points:+} points"
        return f"<{self.type} {self.seq} of card {self.card.number}: {moved}, {self.balance_after} after>"


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


def mismatch(card: Card, number: str | None, customer_id: str | None) -> Refusal | None:
    """The refusal of an event on ``number`` that names another customer than that card's, else None.

    The number of a card that was merged into this one is still its former customer's, who is the same person.
    """
    if customer_id is None or customer_id == card.customer_id:
        return None
    if number is not None and card.aliases.get(number) == customer_id:
        return None
    return Refusal("customer_mismatch", f"card {number or card.number} belongs to another customer")


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
    refusal = creditable(card, points)
    if refusal is not None:
        return refusal
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


def creditable(card: Card, points: int) -> Refusal | None:
    """The refusal of points that are none, or more than a card holds."""
    if points <= 0:
        return Refusal("not_positive", "points must be a positive number")
    return balance_limit() if card.balance + points > MAX_BALANCE else None


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
    refusal = redeemable(card, points, at)
    if refusal is not None:
        return refusal
    assert card.lots is not None, "lots are loaded for every card with a redemption"
    taken = consume(card.lots, points, at)
    entry = book(card, "points_redeemed", -points, happened_at, at, explanation)
    entry.allocations = taken
    note_activity(card, "points_redeemed", at)
    return entry


def redeemable(card: Card, points: int, at: datetime) -> Refusal | None:
    """The refusal of a redemption, at once or held, of points that are too few or not there."""
    if points <= 0:
        return Refusal("not_positive", "points must be a positive number")
    least = card.program.min_redemption
    if points < least:
        return Refusal("below_min_redemption", f"at least {least} points are redeemed at a time")
    available = spendable_on(card, at)
    if points > available:
        return Refusal(
            "insufficient_points",
            f"card {card.number} has {available} spendable points, {points} were asked for",
        )
    return None


def spendable_on(card: Card, at: datetime) -> int:
    """Points that ``card`` can spend at ``at``. What it owes is set aside: points that were held while a
    debt was made, and were then released, do not pay it, but are not there to spend either."""
    assert card.lots is not None, "lots are loaded for every card with a redemption"
    return max(spendable(card.lots, at) - card.debt, 0)


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
    for lapse in card.lapses:
        if at >= lapse.ended:
            lapse.resumed_at = min(lapse.resumed_at or at, at)
    starts = card.deadline is None and days is not None
    if starts or (type_ in program.qualifying_types and at > card.last_activity_at):
        card.last_activity_at = max(card.last_activity_at, at)
        card.deadline = (
            None if days is None else inactivity_deadline(card.last_activity_at, days, program.tz)
        )
    # The sweep's timer: set for a card that starts to hold points, and never later than the deadline.
    if (
        card.deadline is not None
        and card.balance + card.debt > 0  # what is in its lots
        and (card.check_on is None or card.check_on > card.deadline)
    ):
        card.check_on = card.deadline


def arm(card: Card, lots: Iterable[Lot]) -> None:
    """Have the sweep look at the card no later than the deadlines of ``lots`` that were just filled."""
    for lot in lots:
        if lot.free and lot.expires_at is not None:
            card.check_on = min(card.check_on or lot.expires_at, lot.expires_at)
