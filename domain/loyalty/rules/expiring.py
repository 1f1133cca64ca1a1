"""What expires on a card, and what a late proof of activity gives back of it.

Points live for ten days of inactivity. Nobody hears of the card after 1 March, so 50 points expire:

>>> from datetime import UTC, datetime
>>> from domain.loyalty.rules.cards import Card, credit
>>> from domain.loyalty.rules.programs import Program
>>> program = Program(id=1, merchant_id=1, key="beans", zone="UTC", currency="eur", earn_points=1,
...     earn_per_amount=100, inactivity_days=10)
>>> march = lambda day: datetime(2026, 3, day, 12, tzinfo=UTC)
>>> card = Card(id=1, merchant_id=1, program=program, number="C1", customer_id="ada",
...     last_activity_at=march(1), lots=[])
>>> _ = credit(card, "points_earned", 50, happened_at=march(1), at=march(1), explanation={})
>>> [(entry.points, entry.at.day) for entry in book_due_expiry(card, march(14))]
[(-50, 12)]

On the 14th a till that was offline tells of a purchase on the 9th: the period had not ended on the 12th.

>>> proof = revive(card, march(9), march(14), "points_earned")
>>> [(entry.points, entry.original.type) for entry in proof.entries], card.balance, card.deadline.day
([(50, 'points_expired')], 50, 20)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from domain.loyalty.rules.cards import Card, Entry, Gone, Lapse, Original, arm, book, pay_debts
from domain.loyalty.rules.lots import NEVER, Debt, Lot, spendable
from domain.loyalty.rules.programs import MAX_BALANCE
from domain.loyalty.rules.times import inactivity_deadline

LATE_ACTIVITY: Final = "late_activity"
"""The rule that explains points which a late proof of activity gave back."""
REASON: Final = "proof of activity that arrived late"
IN_TIME: Final = "redeemed_in_time"
"""The rule that explains points which a redemption needed that was in time, and arrived late."""
REDEEMED_IN_TIME: Final = "redeemed in time, told late"


def book_due_expiry(card: Card, at: datetime) -> list[Entry]:
    """Expire what has passed its deadline at ``at``: a lot its own, or all of them the card's.

    Each deadline makes a row that is dated at it, whoever books it and when; in the order of deadlines.
    Nothing is booked for a period that ended with nothing to expire. What is held does not expire; once
    it is let go, it does at the deadlines that passed meanwhile.
    """
    entries: list[Entry] = []
    period_ends = card.deadline if card.deadline is not None and card.deadline <= at else None
    own = {due for lot in card.lots or () if lot.free and (due := _own_deadline(card, lot))}
    for due in sorted(due for due in own if due <= at):
        if period_ends is not None and due >= period_ends:
            break
        gone = [lot for lot in card.lots or () if lot.free and _own_deadline(card, lot) == due]
        past = {"policy": "inactivity", "after": "hold"}
        explained = past if due == card.expired_through else {"policy": "lot"}
        entries.append(_expire(card, gone, due, explained))
        if explained == past:
            _remember(card, due)
    if period_ends is not None:
        since = card.expired_through
        card.deadline, card.expired_through = None, period_ends
        gone = [lot for lot in card.lots or () if lot.free]
        if gone:
            lapse = Lapse(card.id, period_ends, card.last_activity_at, since, [])
            card.lapses.append(lapse)
            explained = {"policy": "inactivity", "last_activity_at": _told(card.last_activity_at)}
            explained |= {} if since is None else {"since": _told(since)}
            entries.append(_expire(card, gone, period_ends, explained))
            _remember(card, period_ends)
    return entries


def _told(at: datetime) -> str:
    """A time as the sweep writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _remember(card: Card, due: datetime) -> None:
    for lapse in card.lapses:
        if lapse.card_id == card.id and lapse.ended == due:
            lapse.expiries.append(card.gone[-1])


def _own_deadline(card: Card, lot: Lot) -> datetime | None:
    """When a lot expires, but for the period that runs now: its own deadline, or the end of an earlier
    period of inactivity that only a hold let it outlive. All else of that time is gone."""
    if lapsed(card, lot):
        ended = card.expired_through
        assert ended is not None
        return ended if lot.expires_at is None else min(lot.expires_at, ended)
    return lot.expires_at


def lapsed(card: Card, lot: Lot) -> bool:
    """Whether a period of inactivity has ended that a lot was credited in."""
    return card.expired_through is not None and lot.occurred_at < card.expired_through


def _expire(card: Card, lots: Sequence[Lot], due: datetime, explained: Mapping[str, Any]) -> Entry:
    taken = [(lot, lot.free) for lot in lots]
    for lot, part in taken:
        lot.remaining -= part
        lot.expired += part
    points = sum(part for _, part in taken)
    entry = book(card, "points_expired", -points, due, due, explained)
    entry.allocations = taken
    card.gone.append(Gone(entry, card.id, due, points, list(taken)))
    return entry


@dataclass(slots=True, eq=False)
class Revival:
    """What a late proof of activity gave back, until the event that proves it is accepted."""

    card: Card
    entries: list[Entry]
    before: "_Before"

    def undo(self) -> None:
        """Leave the card as it was: the event was refused, so it proves nothing."""
        self.before.put_back(self.card)


class _Before:
    """A card as it was, with its lots and debts."""

    FIELDS: Final = (
        "seq", "balance", "debt", "reshaped", "deadline", "expired_through", "check_on",
        "last_activity_at", "lapses",
    )  # fmt: skip

    def __init__(self, card: Card) -> None:
        self.fields = {name: getattr(card, name) for name in self.FIELDS}
        self.lots: list[tuple[Lot, int, int]] = [
            (lot, lot.remaining, lot.expired) for lot in card.lots or ()
        ]
        self.debts: list[tuple[Debt, int]] = [(debt, debt.remaining) for debt in card.debts]
        self.gone: list[tuple[Gone, int, list[tuple[Lot, int]]]] = [
            (gone, gone.points, gone.parts) for gone in card.gone
        ]

    def put_back(self, card: Card) -> None:
        for name, value in self.fields.items():
            setattr(card, name, value)
        for lot, remaining, expired in self.lots:
            lot.remaining, lot.expired = remaining, expired
        for debt, left in self.debts:
            debt.remaining = left
        for gone, points, parts in self.gone:
            gone.points, gone.parts = points, parts


def revive(card: Card, happened_at: datetime, now: datetime, type_: str) -> Revival | None:
    """Give back what inactivity took, where activity of ``type_`` at ``happened_at`` was before the end of
    that period and after all activity that was known then; None where it proves nothing.

    The period ends when it would have, had the event been in time: by the policy, from the event on. Points
    whose own deadline has passed stay gone. Nothing comes back that would be gone before the card was used
    again, nor older news than the program's backdating limit brings.
    """
    program = card.program
    if type_ not in program.qualifying_types or happened_at > now:
        return None
    if happened_at < now - timedelta(days=program.backdating_days):
        return None
    lapse = _disproved(card, happened_at)
    if lapse is None:
        return None
    days = program.inactivity_days
    until = None if days is None else inactivity_deadline(happened_at, days, program.tz)
    used = lapse.resumed_at if card.deadline is not None else None
    if until is not None and (until <= lapse.ended or (used is not None and used >= until)):
        return None
    given = [
        (gone, [(lot, part) for lot, part in _left(gone) if _lives(lot, now)])
        for gone in lapse.expiries
    ]
    if card.balance + sum(part for _, parts in given for _, part in parts) > MAX_BALANCE:
        return None
    revival = Revival(card, [], _Before(card))
    card.lapses = [one for one in card.lapses if one is not lapse]
    if lapse.card_id == card.id:
        card.expired_through = lapse.since
    if card.deadline is None:
        card.deadline = until
        card.last_activity_at = max(card.last_activity_at, happened_at)
    for gone, parts in given:
        if parts:
            explained = {"rule": LATE_ACTIVITY, "activity_at": _told(happened_at)}
            revival.entries.append(_give_back(card, gone, parts, explained, REASON, now))
    if card.deadline is not None and card.balance + card.debt > 0:
        card.check_on = min(card.check_on or card.deadline, card.deadline)
    return revival


def _disproved(card: Card, happened_at: datetime) -> Lapse | None:
    """The latest period of the card that went on at ``happened_at``, though nobody knew; or one of a card
    that was merged into it."""
    for lapse in reversed(card.lapses):
        latest = lapse.card_id != card.id or lapse.ended == card.expired_through
        since = lapse.since if lapse.card_id == card.id else card.expired_through
        if (
            latest
            and lapse.last_activity_at < happened_at < lapse.ended
            and (since is None or since <= happened_at)
        ):
            return lapse
    return None


def in_time(card: Card, points: int, happened_at: datetime, now: datetime) -> Revival | None:
    """Give back just what a redemption of ``points`` at ``happened_at`` lacks, of what expired only after it; None
    where that is too little, or the redemption older than the program's backdating limit."""
    if happened_at > now or happened_at < now - timedelta(days=card.program.backdating_days):
        return None
    assert card.lots is not None, "lots are loaded for every card with a redemption"
    missing = points + card.debt - spendable(card.lots, happened_at)
    there = [
        (gone, lot, part)
        for gone in card.gone
        if gone.at > happened_at
        for lot, part in _left(gone)
        if lot.is_open(happened_at)
    ]
    if not 0 < missing <= sum(part for _, _, part in there):
        return None
    if card.balance + missing > MAX_BALANCE:
        return None
    revival = Revival(card, [], _Before(card))
    given: dict[int, list[tuple[Lot, int]]] = {}
    for gone, lot, part in sorted(there, key=lambda one: _sooner(one[1])):
        took = min(part, missing)
        missing -= took
        if took:
            given.setdefault(id(gone), []).append((lot, took))
    for gone in card.gone:
        if id(gone) in given:
            explained = {"rule": IN_TIME, "redeemed_at": _told(happened_at)}
            back = _give_back(card, gone, given[id(gone)], explained, REDEEMED_IN_TIME, now)
            revival.entries.append(back)
    return revival


def _lives(lot: Lot, at: datetime) -> bool:
    return lot.expires_at is None or at < lot.expires_at


def _sooner(lot: Lot) -> tuple[datetime, datetime, int]:
    return lot.expires_at or NEVER, lot.occurred_at, lot.id or MAX_BALANCE


def _left(gone: Gone) -> list[tuple[Lot, int]]:
    """What is left of an expiry to give back to each lot, but for what an operator gave back: that was of the lots
    that end first."""
    there = sorted(gone.parts, key=lambda part: _sooner(part[0]))
    spare = sum(part for _, part in there) - gone.points
    parts = []
    for lot, part in there:
        given_before = min(spare, part)
        spare -= given_before
        if part > given_before:
            parts.append((lot, part - given_before))
    return parts


def _give_back(
    card: Card,
    gone: Gone,
    parts: Sequence[tuple[Lot, int]],
    why: Mapping[str, Any],
    reason: str,
    now: datetime,
) -> Entry:
    points = sum(part for _, part in parts)
    explained = {**why, "points": points, "expired": gone.points}
    entry = book(card, "points_adjustment", points, now, now, explained)
    entry.reason = reason
    row = gone.row
    entry.original = Original(
        card_id=gone.card_id, type="points_expired", points=-gone.points, stamps=0, at=gone.at
    )
    if isinstance(row, Entry):
        entry.original.entry = row
    else:
        entry.original.stored_id = row
    given = {id(lot): part for lot, part in parts}
    gone.points -= points
    gone.parts = [(lot, part - given.get(id(lot), 0)) for lot, part in gone.parts]
    for lot, part in parts:
        lot.remaining += part
        lot.expired -= part
    entry.restored = parts
    lots = [lot for lot, _ in parts]
    if card.debt:
        entry.repaid = pay_debts(card, lots)
    arm(card, lots)
    return entry
