"""Tiers of cards: counted with each event that changes what was earned, and by the sweep when a period ends."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from domain.db import Tx
from domain.loyalty.rules import Card
from domain.loyalty.rules.cards import Standing
from domain.loyalty.rules.tiers import Change, count, fall
from domain.loyalty.store import cards as card_store
from domain.loyalty.store import programs as program_store
from domain.loyalty.store import tiers as store

TIER_CARDS: Final = 500
"""Cards that one transaction of the sweep counts."""


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


def settle_tiers(
    tx: Tx, merchant_id: int, fire_at: datetime, after: int = 0, *, dry_run: bool = False
) -> Settled:
    """Book the falls that were due by ``fire_at`` (UTC) on the next cards above ``after``, each as of its end.

    Passes over cards that another transaction holds: they stay due. Running it again books nothing twice.
    """
    page = store.lock_due(tx, merchant_id, fire_at, after, TIER_CARDS)
    if not page:
        return Settled(0, [], None)
    known = {p.id: p for p in program_store.of_merchants(tx, [merchant_id])}
    locked = card_store.lock(tx, {(merchant_id, number) for _, number in page}, known)
    cards = {card.id: card for card in locked.values()}
    _load(tx, cards, fire_at)
    changes = [change for card in cards.values() for change in fall(card, fire_at)]
    if not dry_run:
        store.write(tx, changes, cards.values())
    return Settled(len(cards), changes, page[-1][0])


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
    if row.due_at is None or row.due_at > now:
        return TierView(row.tier, row.points, row.due_at)
    program = next(
        p for p in program_store.of_merchants(tx, [merchant_id]) if p.id == row.program_id
    )
    card = Card(row.id, merchant_id, program, row.number, "", now, None, tier=Standing())
    card_store.load_recent(tx, {row.id: card}, since_of(card, now), now + timedelta(days=1))
    count(card, now, row.due_for)
    assert card.tier is not None
    return TierView(card.tier.key, card.tier.points, card.tier.due_at)


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
    state = card.tier
    due = at if state is None or state.due_at is None else min(state.due_at, at)
    # A day of a zone begins up to a day before or after that of UTC.
    return due - timedelta(days=card.program.tier_days + 2)
