"""Load what a batch of loyalty events looks at, and no more: cards, lots, and what corrections refer to."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from domain.db import Tx
from domain.loyalty.rules import Card
from domain.loyalty.rules.policies import deadline_of
from domain.loyalty.rules.programs import MAX_BALANCE
from domain.loyalty.rules.terms import MAX_MINUTES
from domain.loyalty.service.batch import (
    Batch,
    Corrections,
    Done,
    LoyaltyEvent,
    event_correlation,
    order_correlation,
)
from domain.loyalty.service.enrolment import open_cards
from domain.loyalty.store import cards as card_store
from domain.loyalty.store import corrections as store
from domain.loyalty.store import programs as program_store

VOIDS: Final = frozenset({"loyalty.points_voided", "loyalty.stamp_voided"})
REFUND: Final = "loyalty.purchase_refunded"
NEEDS_ALL_LOTS: Final = frozenset({"loyalty.points_voided", "loyalty.points_adjusted", REFUND})
"""Events that may take from any lot of their card."""

AROUND: Final = timedelta(minutes=MAX_MINUTES) + timedelta(days=1)
"""How far from an event its cooldown and its day reach at most."""


def load(tx: Tx, events: Sequence[LoyaltyEvent], now: datetime) -> Batch:
    """Open the cards that ``events`` enrol, lock those that they name, and read what rules look at."""
    programs = program_store.of_merchants(tx, (event.merchant_id for event in events))
    opened = open_cards(tx, events, programs, now)
    fresh = {(c.merchant_id, c.number) for c in opened.values() if isinstance(c, Card)}
    corrects = [event for event in events if event.type in VOIDS or event.type == REFUND]
    wanted = {
        (event.merchant_id, event.data.card)
        for event in events
        if event.type != "loyalty.card_created" and event.data.card is not None
    }
    named_by_order = _orders_without_card(corrects)
    if named_by_order:
        wanted |= store.cards_of_orders(tx, named_by_order)
    cards = card_store.lock(tx, wanted - fresh, {program.id: program for program in programs})
    oldest = min(now, *(event.time for event in events))
    card_store.load_lots(tx, _lots_needed(cards, events, named_by_order, oldest, now), oldest, now)
    store.load_debts(tx, [card for card in cards.values() if card.debt])
    _load_recent(tx, events, cards)
    corrections = _corrections(tx, corrects, cards) if corrects else None
    return Batch(now, cards, opened, corrections)


def _orders_without_card(events: Sequence[LoyaltyEvent]) -> set[tuple[int, str]]:
    return {
        (event.merchant_id, event.data.order_reference)
        for event in events
        if event.type == REFUND and event.data.card is None
    }


def _lots_needed(
    cards: Mapping[tuple[int, str], Card],
    events: Sequence[LoyaltyEvent],
    by_order: set[tuple[int, str]],
    oldest: datetime,
    now: datetime,
) -> list[tuple[Card, int | None]]:
    """Cards whose lots a rule may look at, with the points asked of them, or None where all may go.

    Earning alone needs no lots.
    """
    asked: dict[tuple[int, str], int] = {}
    whole: set[tuple[int, str]] = set()
    for event in events:
        if event.type == "loyalty.points_redeemed":
            key = (event.merchant_id, event.data.card)
            cost = _cost(cards.get(key), event.data)
            asked[key] = asked.get(key, 0) + max(cost or 0, 0)
        elif event.type in NEEDS_ALL_LOTS:
            whole.add((event.merchant_id, event.data.card))
    if by_order:
        # Any card of the batch may be the one that earned for it, even in this batch.
        whole |= cards.keys()
    needed: list[tuple[Card, int | None]] = []
    for key, card in cards.items():
        if key in whole or _may_expire(card, oldest, now):
            needed.append((card, None))
        elif key in asked:
            needed.append((card, min(asked[key], MAX_BALANCE)))
    return needed


def _cost(card: Card | None, data: Any) -> int | None:
    reward = card.program.reward(data.reward_id) if card is not None and data.reward_id else None
    points: int | None = data.points if reward is None else reward.points
    return points


def _may_expire(card: Card, oldest: datetime, now: datetime) -> bool:
    days = card.program.inactivity_days
    # A lot that an event of this batch credits expires no sooner than one of the oldest event.
    lot = deadline_of(card.program.expiration, oldest, card.program.tz)
    return (
        (card.deadline is not None and card.deadline <= now)
        # Never later than the deadline of any of its lots.
        or (card.check_on is not None and card.check_on <= now)
        # A deadline that an event of this batch sets is at least this far from that event.
        or (days is not None and oldest + timedelta(days) <= now)
        or (lot is not None and lot <= now)
    )


def _load_recent(
    tx: Tx, events: Sequence[LoyaltyEvent], cards: Mapping[tuple[int, str], Card]
) -> None:
    """Earlier earns and stamps of cards on which an event of this batch is limited by them."""
    needed: dict[int, Card] = {}
    before = AROUND
    for event in events:
        card = cards.get((event.merchant_id, event.data.card)) if event.data.card else None
        if card is None:
            continue
        program = card.program
        if event.type == "loyalty.stamp_earned":
            needed[card.id] = card
        elif event.type == "loyalty.points_earned" and (program.limits_earning or program.tiers):
            needed[card.id] = card
            before = max(before, timedelta(program.tier_days if program.tiers else 0))
    if needed:
        times = [event.time for event in events]
        card_store.load_recent(tx, needed, min(times) - before, max(times) + AROUND)


def _corrections(
    tx: Tx, events: Sequence[LoyaltyEvent], cards: Mapping[tuple[int, str], Card]
) -> Corrections:
    by_id = {card.id: card for card in cards.values()}
    numbers = {card.id: card.number for card in cards.values()}
    made = {
        row.inbox_id: Done(
            row.card_id,
            numbers.get(row.card_id, ""),
            tuple(row.ids),
            row.points,
            row.balance,
            row.stamps,
            row.stamps_balance,
        )
        for row in store.made_before(tx, [event.inbox_id for event in events])
    }
    found = Corrections(made)
    named = {
        (
            event.merchant_id,
            event.data.related_event.source or event.source,
            event.data.related_event.id,
        )
        for event in events
        if event.type in VOIDS
    }
    if named:
        found.originals, found.kinds, refused = store.originals(tx, named, by_id)
        for (merchant, source, event_id), card in refused.items():
            found.refused.add((merchant, card, event_correlation(source, event_id)))
    ordered = {
        (event.merchant_id, event.data.order_reference) for event in events if event.type == REFUND
    }
    if ordered:
        known = {original.id: original for original in found.originals.values()}
        names = {(merchant, order_correlation(order)) for merchant, order in ordered}
        found.refused |= store.refused_earns(tx, names)
        found.orders, found.order_cards = store.orders(tx, ordered, by_id, known)
    return found
