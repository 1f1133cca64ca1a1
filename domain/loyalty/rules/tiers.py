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
>>> soon = next_fall(card, datetime(2027, 1, 2, tzinfo=UTC))
>>> soon.before, soon.after, soon.missing, soon.at == card.tier.due_at
('gold', None, 1000, True)
>>> [(change.before, change.after, change.reason) for change in fall(card, datetime(2027, 5, 1, tzinfo=UTC))]
[('gold', None, 'period')]
"""

from dataclasses import dataclass
from datetime import datetime

from domain.loyalty.rules.cards import Card, Entry, Recent
from domain.loyalty.rules.programs import Program, Tier
from domain.loyalty.rules.times import start_of_day_after


@dataclass(frozen=True, slots=True)
class Fall:
    """A card's tier becomes a lower one at ``at`` if it does not earn ``missing`` points before; ``points`` are what
    it has earned in the period now."""

    card: Card
    before: str
    after: str | None
    at: datetime
    points: int
    missing: int


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

    A threshold is inclusive. What was taken back of an earn counts no more, at once. Who read the program before
    its tiers were changed leaves a card that was counted under the new ones to the next count, which is due.
    """
    state = card.tier
    assert state is not None, "loaded for every card whose tier may change"
    if state.terms > card.program.tiers_version:
        state.terms, state.due_at = 0, at
        return []
    earns = card.recent or []
    points = _earned(card.program, earns, at)
    tier = _reached(card.program, points)
    state.points, state.terms = points, card.program.tiers_version
    state.due_at = _falls_at(card.program, earns, at, points, tier)
    key = tier.key if tier else None
    if key == state.key:
        return []
    before, state.key = state.key, key
    state.changes += 1
    return [Change(card, state.changes, before, key, reason, points, at, entry)]


def fall(card: Card, now: datetime) -> list[Change]:
    """What came due by ``now``: other terms as of their moment, then each fall as of the end that brought it,
    whoever books it and when."""
    state, program = card.tier, card.program
    assert state is not None, "loaded for every card whose tier may change"
    if state.terms > program.tiers_version:
        return []
    changes: list[Change] = []
    if state.terms < program.tiers_version:
        since = program.tiers_at
        if since is None or since > now:
            return []
        changes += count(card, since, "terms")
    while state.due_at is not None and state.due_at <= now:
        changes += count(card, state.due_at, "period")
    return changes


def next_fall(card: Card, now: datetime) -> Fall | None:
    """How the tier of a card, whose earns are loaded, falls after ``now`` if nothing more is earned; None: it does
    not, or another tier is due now."""
    state = card.tier
    assert state is not None, "loaded for every card whose tier may change"
    program, earns = card.program, card.recent or []
    points = _earned(program, earns, now)
    tier = _reached(program, points)
    ends = _falls_at(program, earns, now, points, tier)
    if tier is None or ends is None or tier.key != state.key:
        return None
    left = _earned(program, earns, ends)
    after = _reached(program, left)
    return Fall(card, tier.key, after.key if after else None, ends, points, tier.threshold - left)


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
