"""Load what a batch of loyalty events looks at, and no more: cards, lots, and what corrections refer to."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from domain.db import Tx
from domain.loyalty.rules import Card
from domain.loyalty.rules.policies import deadline_of
from domain.loyalty.rules.programs import MAX_BALANCE
from domain.loyalty.rules.terms import MAX_MINUTES
from domain.loyalty.rules.times import start_of_day_after
from domain.loyalty.service import attributing, velocity
from domain.loyalty.service.batch import Batch, Corrections
from domain.loyalty.service.enrolment import open_cards
from domain.loyalty.service.events import (
    CHANGES_TIER,
    NAMES_ITS_ORIGINAL,
    NEEDS_CARD,
    Done,
    LoyaltyEvent,
    card_correlation,
    event_correlation,
    order_correlation,
)
from domain.loyalty.service.tiers import since_of
from domain.loyalty.store import cards as card_store
from domain.loyalty.store import corrections as store
from domain.loyalty.store import holds as hold_store
from domain.loyalty.store import lapses as lapse_store
from domain.loyalty.store import programs as program_store
from domain.loyalty.store import tiers as tier_store

REFUND: Final = "loyalty.purchase_refunded"
NEEDS_ALL_LOTS: Final = frozenset(
    {
        "loyalty.points_voided",
        "loyalty.points_adjusted",
        "loyalty.hold_captured",
        "loyalty.hold_released",
        REFUND,
    }
)
"""Events that may take from any lot of their card, or look at all that is held of them."""
PROVES: Final = frozenset(
    {
        "loyalty.points_earned",
        "loyalty.points_redeemed",
        "loyalty.hold_captured",
        "loyalty.stamp_earned",
        "loyalty.stamp_redeemed",
    }
)
"""Events that prove activity, which the program may count as such."""
SPENDS: Final = frozenset({"loyalty.points_redeemed", "loyalty.points_held"})

AROUND: Final = timedelta(minutes=MAX_MINUTES) + timedelta(days=1)
"""How far from an event its cooldown and its day reach at most."""


def load(tx: Tx, events: Sequence[LoyaltyEvent], now: datetime) -> Batch:
    """Open the cards that ``events`` enrol, lock those that they name, and read what rules look at."""
    programs = program_store.of_merchants(tx, (event.merchant_id for event in events))
    opened = open_cards(tx, events, programs, now)
    fresh = {(c.merchant_id, c.number) for c in opened.values() if isinstance(c, Card)}
    corrects = [
        event for event in events if event.type in NAMES_ITS_ORIGINAL or event.type == REFUND
    ]
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
    disproved = _perhaps_disproved(cards, events, now)
    needed = _lots_needed(cards, events, named_by_order, oldest, now, set(disproved))
    card_store.load_lots(tx, needed, oldest, now)
    # Where only the first lots are looked at, no hold is over and none is closed.
    hold_store.load_open(tx, [card for card, points in needed if points is None])
    if disproved:
        lapse_store.load(tx, disproved)
    store.load_debts(tx, list({card.id: card for card in cards.values() if card.debt}.values()))
    _load_recent(tx, events, cards, now)
    corrections = _corrections(tx, corrects, cards) if corrects else None
    desks = attributing.load(tx, events)
    new = {(c.merchant_id, c.number): c for c in opened.values() if isinstance(c, Card)}
    speed = velocity.load(tx, events, {**cards, **new}, desks)
    return Batch(now, cards, opened, corrections, desks=desks, velocity=speed)


def cards_awaited(tx: Tx, events: Sequence[LoyaltyEvent]) -> set[tuple[int, str]]:
    """Under what (merchant, correlation) some of ``events`` would wait, as their cards are not there now.

    Who locks those before looking again waits for an enrolment that is on its way, and misses none.
    """
    named = {
        (event.merchant_id, event.data.card)
        for event in events
        if event.type in NEEDS_CARD and event.card_by is not None
    }
    missing = card_store.missing(tx, named) if named else ()
    return {(merchant, card_correlation(number)) for merchant, number in missing}


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
    disproved: set[int],
) -> list[tuple[Card, int | None]]:
    """Cards whose lots a rule may look at, with the points asked of them, or None where all may go.

    Earning alone needs no lots.
    """
    asked: dict[int, int] = {}
    # Any card of the batch may be the one that earned for an order, even in this batch.
    by_id = {card.id: card for card in cards.values()}
    whole: set[int] = set(by_id) if by_order else set(disproved)
    for event in events:
        # By id: a card goes by its own number and by those that were merged into it.
        card = cards.get((event.merchant_id, event.data.card))
        if card is None:
            continue
        if event.type in SPENDS:
            asked[card.id] = asked.get(card.id, 0) + max(_cost(card, event.data) or 0, 0)
        elif event.type in NEEDS_ALL_LOTS:
            whole.add(card.id)
    needed: list[tuple[Card, int | None]] = []
    for card in by_id.values():
        if card.id in whole or card.debt or _may_expire(card, oldest, now):
            needed.append((card, None))
        elif card.id in asked:
            needed.append((card, min(asked[card.id], MAX_BALANCE)))
    return needed


def _perhaps_disproved(
    cards: Mapping[tuple[int, str], Card], events: Sequence[LoyaltyEvent], now: datetime
) -> dict[int, tuple[Card, datetime]]:
    """Cards with an event that may have been before a booked expiry, each with the time of the earliest."""
    found: dict[int, tuple[Card, datetime]] = {}
    for event in events:
        card = cards.get((event.merchant_id, event.data.card)) if event.type in PROVES else None
        if card is None or event.time < now - timedelta(days=card.program.backdating_days):
            continue
        ended = card.expired_through
        # Deadlines lie between two days.
        over = event.type == "loyalty.points_redeemed" and card.program.points_end
        if (
            event.data.card in card.aliases
            or (ended is not None and event.time < ended)
            or (over and start_of_day_after(event.time, 0, card.program.tz) <= now)
        ):
            since = found[card.id][1] if card.id in found else event.time
            found[card.id] = (card, min(since, event.time))
    return found


def _cost(card: Card, data: Any) -> int | None:
    reward = card.program.reward(data.reward_id) if data.reward_id else None
    points: int | None = data.points if reward is None else reward.points
    return points


def _may_expire(card: Card, oldest: datetime, now: datetime) -> bool:
    days = card.program.inactivity_days
    # A lot that an event of this batch credits expires no sooner than one of the oldest event.
    lot = deadline_of(card.program.expiration, oldest, card.program.tz)
    return (
        (card.deadline is not None and card.deadline <= now)
        # Never later than the deadline of any of its lots, or the end of any of its holds.
        or (card.check_on is not None and card.check_on <= now)
        # A deadline that an event of this batch sets is at least this far from that event.
        or (days is not None and oldest + timedelta(days) <= now)
        or (lot is not None and lot <= now)
    )


def _load_recent(
    tx: Tx, events: Sequence[LoyaltyEvent], cards: Mapping[tuple[int, str], Card], now: datetime
) -> None:
    """Earlier earns and stamps of cards on which an event of this batch is limited by them, or changes a tier."""
    needed: dict[int, Card] = {}
    tiered: dict[int, Card] = {}
    for event in events:
        named = cards.get((event.merchant_id, event.data.card)) if event.data.card else None
        # Any card of the batch may be the one that earned for an order.
        for card in [named] if named else cards.values() if event.type == REFUND else []:
            if card.program.tiers and event.type in CHANGES_TIER:
                tiered[card.id] = needed[card.id] = card
            elif event.type == "loyalty.stamp_earned" or (
                event.type == "loyalty.points_earned" and card.program.limits_earning
            ):
                needed[card.id] = card
    if not needed:
        return
    times = [event.time for event in events]
    first, last = min(times), max(times)
    since = first - AROUND
    if tiered:
        tier_store.load(tx, tiered)
        since = min(since, *(since_of(card, first) for card in tiered.values()))
        last = max(last, now)
    card_store.load_recent(tx, needed, since, last + AROUND)


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
        if event.type in NAMES_ITS_ORIGINAL
    }
    if named:
        found.originals, found.kinds, refused = store.originals(tx, named, by_id)
        for (merchant, source, event_id), card in refused.items():
            found.refused.add((merchant, card, event_correlation(source, event_id)))
        found.holds = hold_store.of_events(tx, named, by_id)
    ordered = {
        (event.merchant_id, event.data.order_reference) for event in events if event.type == REFUND
    }
    if ordered:
        known = {original.id: original for original in found.originals.values()}
        names = {(merchant, order_correlation(order)) for merchant, order in ordered}
        found.refused |= store.refused_earns(tx, names)
        found.orders, found.order_cards = store.orders(tx, ordered, by_id, known)
    return found
