"""Tiers: what a card gets that earned so much in the program's period, and when it falls back.

Gold takes 1,000 points of the last 365 days, and multiplies what is earned from then on. What was earned on
15 January counts until the end of that day a year later, in the program's zone:

>>> from datetime import UTC
>>> from domain.loyalty.rules.cards import Card, Recent, Standing
>>> from domain.loyalty.rules.programs import Program
>>> gold = Tier("gold", 1_000, 15_000)
>>> program = Program(id=1, merchant_id=1, key="beans", zone="Europe/Berlin", currency="eur",
...     earn_points=1, earn_per_amount=100, tiers=(gold,), tier_days=365)
>>> january = datetime(2026, 1, 15, tzinfo=UTC)
>>> card = Card(id=1, merchant_id=1, program=program, number="C1", customer_id="ada",
...     last_activity_at=january, lots=[], recent=[Recent(january, 1_000, 0)], tier=Standing())
>>> [(change.after, change.reason) for change in count(card, january, "terms")]
[('gold', 'terms')]
>>> card.tier.due_at.isoformat()
'2027-01-15T23:00:00+00:00'
>>> tier_of(card, datetime(2027, 1, 15, 22, 59, tzinfo=UTC)).key
'gold'
>>> [(change.before, change.after, change.reason) for change in fall(card, datetime(2027, 5, 1, tzinfo=UTC))]
[('gold', None, 'period')]
"""

from dataclasses import dataclass
from datetime import datetime

from domain.loyalty.rules.cards import Card, Entry, Recent
from domain.loyalty.rules.programs import Program, Tier
from domain.loyalty.rules.times import start_of_day_after

PERIOD = "period"


@dataclass(frozen=True, slots=True)
class Change:
    """A card's tier became another, at business time ``at``: its ``number``-th change. ``points`` are what it
    had earned in the period by then, ``entry`` the row that brought it about."""

    card: Card
    number: int
    before: str | None
    after: str | None
    reason: str
    points: int
    at: datetime
    entry: Entry | None = None


def tier_of(card: Card, happened_at: datetime) -> Tier | None:
    """The highest tier that the points earned in the program's period up to ``happened_at`` reach: what an
    earn of that time is multiplied by, whether or not a sweep has booked a fall."""
    earns = [r for r in card.recent or () if r.at <= happened_at]
    return _reached(card.program, _earned(card.program, earns, happened_at))


def count(card: Card, at: datetime, reason: str, entry: Entry | None = None) -> list[Change]:
    """Bring the tier of a card, whose earns are loaded, to ``at``; the change, if it is another then.

    A threshold is inclusive. What was taken back of an earn counts no more, at once.
    """
    state = card.tier
    assert state is not None, "loaded for every card whose tier may change"
    earns = card.recent or []
    points = _earned(card.program, earns, at)
    tier = _reached(card.program, points)
    state.points, state.due_for = points, PERIOD
    state.due_at = _falls_at(card.program, earns, at, points, tier)
    key = tier.key if tier else None
    if key == state.key:
        return []
    before, state.key = state.key, key
    state.changes += 1
    return [Change(card, state.changes, before, key, reason, points, at, entry)]


def fall(card: Card, now: datetime) -> list[Change]:
    """What came due by ``now``: each fall as of the end that brought it, whoever books it and when."""
    state = card.tier
    assert state is not None, "loaded for every card whose tier may change"
    changes: list[Change] = []
    while state.due_at is not None and state.due_at <= now:
        changes += count(card, state.due_at, state.due_for)
    return changes


def counts_until(program: Program, earned_at: datetime) -> datetime:
    """When an earn leaves the period: the end of the last day that it counts on, UTC, exclusive."""
    return start_of_day_after(earned_at, program.tier_days, program.tz)


def _earned(program: Program, earns: list[Recent], at: datetime) -> int:
    return sum(r.points for r in earns if r.points and at < counts_until(program, r.at))


def _reached(program: Program, points: int) -> Tier | None:
    reached = [tier for tier in program.tiers if tier.threshold <= points]
    return max(reached, key=lambda tier: tier.threshold, default=None)


def _falls_at(
    program: Program, earns: list[Recent], at: datetime, points: int, tier: Tier | None
) -> datetime | None:
    """When ``tier`` is lost if nothing more is earned."""
    if tier is None:
        return None
    ends = sorted((counts_until(program, r.at), r.points) for r in earns if r.points)
    for end, part in ends:
        if end > at:
            points -= part
            if points < tier.threshold:
                return end
    return None
