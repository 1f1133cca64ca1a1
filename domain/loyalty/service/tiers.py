"""Tiers of cards: counted with each event that changes what was earned, and by the sweep when a period ends or other
tiers hold."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from domain.db import Tx
from domain.loyalty.rules import Card, Program
from domain.loyalty.rules.tiers import Change, count, fall, next_fall
from domain.loyalty.store import cards as card_store
from domain.loyalty.store import programs as program_store
from domain.loyalty.store import tiers as store

TIER_CARDS: Final = 500
"""Cards that one transaction of the sweep counts."""
RECOUNT_IDS: Final = 20_000
"""Ids of cards among which one transaction of the sweep looks for those that were counted under other terms."""

Cursor = tuple[int, int]
"""Program and card that a sweep goes on after."""


@dataclass(frozen=True, slots=True)
class TierView:
    """The tier of a card now (None: none), what it earned in the period, and when it falls if it earns no
    more (None: never)."""

    key: str | None
    points: int
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What a page of the sweep did: cards counted, the changes, and the card to go on after (None: done)."""

    cards: int
    changes: list[Change]
    last: int | None


@dataclass(frozen=True, slots=True)
class Recounted:
    """What a page of counting anew did: cards counted, the changes, and where to go on (None: done)."""

    cards: int
    changes: list[Change]
    cursor: Cursor | None


def settle_tiers(
    tx: Tx, merchant_id: int, fire_at: datetime, after: int = 0, *, dry_run: bool = False
) -> Settled:
    """Book the falls that were due by ``fire_at`` (UTC) on the next cards above ``after``, each as of its end.

    Passes over cards that another transaction holds: they stay due. Running it again books nothing twice.
    """
    page = store.lock_due(tx, merchant_id, fire_at, after, TIER_CARDS)
    if not page:
        return Settled(0, [], None)
    counted, changes = _settle(tx, merchant_id, page, fire_at, dry_run=dry_run)
    return Settled(counted, changes, page[-1][0])


def recount_tiers(
    tx: Tx, merchant_id: int, fire_at: datetime, cursor: Cursor = (0, 0), *, dry_run: bool = False
) -> Recounted:
    """Count the next cards anew whose program got other tiers by ``fire_at`` (UTC), as of that moment.

    The program keeps how far it came: a sweep that is killed goes on there, and two beside each other take turns.
    ``dry_run`` goes on from ``cursor`` and keeps nothing.
    """
    found = store.recounting(
        tx, merchant_id, fire_at, cursor if dry_run else (0, 0), lock=not dry_run
    )
    if found is None:
        return Recounted(0, [], None)
    upto = min(found.after + RECOUNT_IDS, found.last)
    page = store.lock_stale(tx, found.id, found.tiers_version, found.after, upto, TIER_CARDS)
    counted, changes = _settle(tx, merchant_id, page, fire_at, dry_run=dry_run)
    reached = page[-1][0] if len(page) == TIER_CARDS else upto
    over = reached >= found.last
    if not dry_run:
        store.recounted(tx, found.id, None if over else reached)
    return Recounted(counted, changes, (found.id + 1, 0) if over else (found.id, reached))


def _settle(
    tx: Tx, merchant_id: int, page: list[tuple[int, str]], fire_at: datetime, *, dry_run: bool
) -> tuple[int, list[Change]]:
    """Book what is due by ``fire_at`` on locked cards (id and number): how many were counted, and the changes."""
    if not page:
        return 0, []
    known = {p.id: p for p in program_store.of_merchants(tx, [merchant_id])}
    locked = card_store.lock(tx, {(merchant_id, number) for _, number in page}, known)
    cards = {card.id: card for card in locked.values()}
    _load(tx, cards, fire_at)
    changes = [change for card in cards.values() for change in fall(card, fire_at)]
    if not dry_run:
        store.write(tx, changes, cards.values())
    return len(cards), changes


def announce_falls(
    tx: Tx, merchant_id: int, at: datetime, after: int = 0
) -> tuple[int, int | None]:
    """Announce the tiers that fall within the programs' ``notice_days`` of ``at`` (UTC), on the next cards above
    ``after``. Returns how many notices were new, and where to go on (None: done).

    Running it again, or beside itself, announces nothing twice: an end that an earn has moved is a new one.
    """
    page = store.falling(tx, merchant_id, at, after, TIER_CARDS)
    if not page:
        return 0, None
    known = {p.id: p for p in program_store.of_merchants(tx, [merchant_id])}
    cards = {row.id: _unlocked(row, known[row.program_id], at) for row in page}
    _load(tx, cards, at)
    falls = [one for card in cards.values() if (one := next_fall(card, at)) is not None]
    return store.announce(tx, falls, at) if falls else 0, page[-1].id


def tier_notices(tx: Tx, merchant_id: int, *, after: int = 0, limit: int = 100) -> list[Any]:
    """A merchant's notices of tiers that fall soon, with an id above ``after``, oldest first."""
    return store.notices(tx, merchant_id, after, limit)


def _unlocked(row: Any, program: Program, at: datetime) -> Card:
    """A card that is only looked at."""
    return Card(row.id, program.merchant_id, program, row.number, "", at, None)


def join_tiers(tx: Tx, old: Card, new: Card, at: datetime) -> None:
    """Count both locked cards anew as of ``at``: what the one earned is the other's, which took it over."""
    if not new.program.tiers:
        return
    store.load(tx, {old.id: old})
    _load(tx, {new.id: new}, at)
    changes = fall(new, at) + count(new, at, "merged")
    old.recent = []
    changes += count(old, at, "merged")
    store.write(tx, changes, [old, new])


def tier(tx: Tx, merchant_id: int, number: str, now: datetime) -> TierView | None:
    """A card's tier at business time ``now``, whether or not a fall is booked; None where none was counted."""
    row = store.standing(tx, merchant_id, number)
    if row is None:
        return None
    program = next(
        p for p in program_store.of_merchants(tx, [merchant_id]) if p.id == row.program_id
    )
    card = _unlocked(row, program, now)
    store.load(tx, {card.id: card})
    state = card.tier
    assert state is not None, "loaded"
    if state.terms < program.tiers_version or (state.due_at is not None and state.due_at <= now):
        since = since_of(card, now)
        card_store.load_recent(tx, {card.id: card}, since, now + timedelta(days=1))
        count(card, now, "period")
    if not row.counted and state.key is None:
        return None
    return TierView(state.key, state.points, state.due_at)


def tier_changes(
    tx: Tx, merchant_id: int, *, card: str | None = None, after: int = 0, limit: int = 100
) -> list[Any]:
    """A merchant's changes of tiers with an id above ``after``, oldest first; of one card, or of all."""
    return store.changes(tx, merchant_id, number=card, after=after, limit=limit)


def _load(tx: Tx, cards: dict[int, Card], at: datetime) -> None:
    store.load(tx, cards)
    since = min(since_of(card, at) for card in cards.values())
    card_store.load_recent(tx, cards, since, at + timedelta(days=1))


def since_of(card: Card, at: datetime) -> datetime:
    """From when on the earns of a card matter for its tier at ``at``, and for what is due before."""
    state, program = card.tier, card.program
    due = at if state is None or state.due_at is None else min(state.due_at, at)
    if state is not None and state.terms < program.tiers_version and program.tiers_at is not None:
        due = min(due, program.tiers_at)
    # A day of a zone begins up to a day before or after that of UTC.
    return due - timedelta(days=card.program.tier_days + 2)
