"""A batch of loyalty events in memory: what was loaded, what became of it, and what is to be written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from domain.loyalty.rules import Card, Entry, Hold, Refusal, Revival, revive
from domain.loyalty.rules.cards import Original, mismatch
from domain.loyalty.rules.corrections import original_of
from domain.loyalty.rules.holds import turn_to
from domain.loyalty.rules.refunds import Order
from domain.loyalty.rules.tiers import Change, count, fall
from domain.loyalty.service.attributing import NOWHERE, Desks, Where
from domain.loyalty.service.events import (
    CHANGES_TIER,
    NEEDS_CARD,
    Done,
    EventKey,
    LoyaltyEvent,
    Outcome,
    Waits,
    card_correlation,
    event_correlation,
    order_correlation,
)
from domain.loyalty.service.velocity import Velocity
from domain.loyalty.store import history


@dataclass(slots=True)
class Corrections:
    """What the corrections of a batch refer to. Empty in a batch without any."""

    # Events that made their rows before, by inbox id: what a waiting event that raced finds.
    made: dict[int, Done] = field(default_factory=dict)
    # Rows that can be voided, and what kind of event each named one is, by event.
    originals: dict[EventKey, Original] = field(default_factory=dict)
    kinds: dict[EventKey, str] = field(default_factory=dict)
    # By card, then order.
    orders: dict[tuple[int, str], Order] = field(default_factory=dict)
    # Cards of an order that a refund names without its card.
    order_cards: dict[tuple[int, str], set[int]] = field(default_factory=dict)
    # Holds that events of the batch capture or release, by the event that placed each.
    holds: dict[EventKey, Hold] = field(default_factory=dict)
    # Originals that were refused: (merchant, card number, correlation).
    refused: set[tuple[int, str, str]] = field(default_factory=set)


@dataclass(slots=True)
class Batch:
    """State of one ``apply``."""

    now: datetime
    cards: dict[tuple[int, str], Card]
    # By inbox id, what became of each enrolment.
    opened: Mapping[int, Card | Refusal]
    # None where the batch has no corrections, which spares keeping track of what they might refer to.
    corrections: Corrections | None = None
    # What is written: (entry, inbox id, provenance), in order.
    entries: list[tuple[Entry, int | None, tuple[Any, ...]]] = field(default_factory=list)
    changed: dict[int, Card] = field(default_factory=dict)
    refunds: list[tuple[Card, LoyaltyEvent]] = field(default_factory=list)
    # Holds that were placed or closed: (card, hold).
    holds: list[tuple[Card, Hold]] = field(default_factory=list)
    # Correlations under which something waits that this batch has brought.
    wakes: set[tuple[int, str]] = field(default_factory=set)
    waiting: set[tuple[int, str]] = field(default_factory=set)
    # Stores, PINs and devices that the events name; and by inbox id where each happened.
    desks: Desks = field(default_factory=Desks)
    where: dict[int, Where] = field(default_factory=dict)
    # Changes of tiers, and the cards that were counted.
    tier_changes: list[Change] = field(default_factory=list)
    tiered: dict[int, Card] = field(default_factory=dict)
    # What the event in hand proved to be alive, if it is accepted.
    revival: Revival | None = None
    velocity: Velocity = field(default_factory=Velocity)


def turn(
    batch: Batch, event: LoyaltyEvent, *, card: Card | None = None, proves: str | None = None
) -> tuple[Card, datetime] | Refusal:
    """Find the event's card, book the expiry that is due on it, and see that it is its customer's.

    What books a row of type ``proves`` is a proof of activity, which may come late.
    """
    card = card or batch.cards.get((event.merchant_id, event.data.card))
    if card is None:
        return Refusal("card_unknown", f"there is no card {event.data.card}")
    if card.tier is not None and event.type in CHANGES_TIER:
        batch.tiered[card.id] = card
        batch.tier_changes += fall(card, batch.now)
    due = card.deadline
    if proves is not None and card.lapses:
        batch.revival = revive(card, event.time, batch.now, proves)
    at, timed_out, expired = turn_to(card, event.time, batch.now)
    assert batch.revival is None or not (timed_out or expired), "all that was due then is booked"
    keep_due(batch, card, timed_out, expired)
    if card.deadline != due:
        batch.changed[card.id] = card
    customer = getattr(event.data, "customer_id", None)
    return mismatch(card, event.data.card, customer) or (card, at)


def keep_due(batch: Batch, card: Card, timed_out: list[Hold], expired: list[Entry]) -> None:
    """Have written what was due on a card before anything else."""
    batch.holds.extend((card, held) for held in timed_out)
    batch.entries.extend((entry, None, _NO_PROVENANCE) for entry in expired)
    if timed_out or expired:
        batch.changed[card.id] = card


def keep(batch: Batch, event: LoyaltyEvent, entries: list[Entry]) -> list[Entry]:
    """Have ``entries`` written, and wake what waited for the event."""
    card = entries[0].card
    about = _provenance(event, entries[0], batch.where.get(event.inbox_id, NOWHERE))
    if batch.revival is not None:
        restored, batch.revival = batch.revival.entries, None
        batch.entries.extend((entry, event.inbox_id, _NO_PROVENANCE) for entry in restored)
    batch.entries.extend((entry, event.inbox_id, about) for entry in entries)
    batch.changed[card.id] = card
    if card.tier is not None and event.type in CHANGES_TIER:
        batch.tiered[card.id] = card
        cause = "earned" if entries[-1].points > 0 else "taken_back"
        batch.tier_changes += count(card, batch.now, cause, entries[-1])
    if batch.corrections is not None:
        _remember(batch.corrections, event, entries)
    wake(batch, event, card)
    return entries


def wake(batch: Batch, event: LoyaltyEvent, card: Card) -> None:
    """Have applied next what waited for an event."""
    found = _awaited(batch, event, card)
    if found:
        batch.wakes |= {(event.merchant_id, name) for name in found}
        card.awaits -= found
        card.reshaped = True


def turn_down(batch: Batch, event: LoyaltyEvent) -> None:
    """Remember that an original was refused, and wake what waited for it: it has nothing to reverse.

    Its card goes on to remember that, for the original may be accepted yet.
    """
    card = batch.cards.get((event.merchant_id, event.data.card))
    if card is None or event.type not in _ORIGINALS:
        return
    if batch.corrections is not None:
        batch.corrections.refused |= {
            (event.merchant_id, card.number, name) for name in _names(event)
        }
    batch.wakes |= {(event.merchant_id, name) for name in _awaited(batch, event, card)}


def refused_under(event: LoyaltyEvent) -> str | None:
    """What a refused event is kept under, so that refunds of its order find that it was refused."""
    if event.type == "loyalty.points_earned" and event.data.order_reference is not None:
        return order_correlation(event.data.order_reference)
    return None


def _awaited(batch: Batch, event: LoyaltyEvent, card: Card) -> set[str]:
    if not (card.awaits or batch.waiting):
        return set()
    names = _names(event)
    return {n for n in names if n in card.awaits or (event.merchant_id, n) in batch.waiting}


def _names(event: LoyaltyEvent) -> set[str]:
    order = refused_under(event)
    return {event_correlation(event.source, event.event_id)} | ({order} if order else set())


def wait(batch: Batch, event: LoyaltyEvent, card: Card | None, correlation: str) -> Waits:
    """Have the event wait; its card remembers what for."""
    batch.waiting.add((event.merchant_id, correlation))
    if card is not None and correlation not in card.awaits:
        card.awaits |= {correlation}
        card.reshaped = True
        batch.changed[card.id] = card
    return Waits(correlation)


def wait_for_card(batch: Batch, event: LoyaltyEvent) -> Waits | None:
    """Have an event wait whose card is not there yet, if it may; None: it has one, or may not."""
    if event.type not in NEEDS_CARD or (event.merchant_id, event.data.card) in batch.cards:
        return None
    if event.card_by is None or event.card_by <= batch.now:
        return None
    return Waits(card_correlation(event.data.card), "waits_for_card")


def reverse_nothing(batch: Batch, event: LoyaltyEvent, card: Card, correlation: str) -> Done:
    """Have a correction of a refused original reverse nothing, until that is accepted."""
    wait(batch, event, card, correlation)
    return Done(
        card.id,
        card.number,
        (),
        0,
        card.balance,
        noted="nothing_to_reverse",
        correlation=correlation,
    )


def settle(batch: Batch, card: Card | None, correlation: str) -> None:
    """Have a card no longer remember what an event waited for: its original is there."""
    if card is not None and correlation in card.awaits:
        card.awaits -= {correlation}
        card.reshaped = True
        batch.changed[card.id] = card


def _remember(corrections: Corrections, event: LoyaltyEvent, entries: Sequence[Entry]) -> None:
    key = (event.merchant_id, event.source, event.event_id)
    corrections.kinds.setdefault(key, event.type)
    for entry in entries:
        if entry.type not in ("points_earned", "welcome_bonus", "points_redeemed", "stamp_earned"):
            continue
        original = corrections.originals[key] = original_of(entry)
        order = event.data.order_reference if entry.type == "points_earned" else None
        if order is not None:
            original.purchase_amount = event.data.purchase_amount
            original.purchase_currency = event.data.purchase_currency or entry.card.program.currency
            known = corrections.orders.setdefault((entry.card.id, order), Order())
            known.earns.append(original)
            corrections.order_cards.setdefault((event.merchant_id, order), set()).add(entry.card.id)


_NO_PROVENANCE: Final[tuple[Any, ...]] = (None,) * len(history.PROVENANCE_COLUMNS)
_ORIGINALS: Final = frozenset(
    {
        "loyalty.points_earned",
        "loyalty.points_redeemed",
        "loyalty.stamp_earned",
        "loyalty.points_held",
        "loyalty.hold_captured",
    }
)
_LIFECYCLE: Final = frozenset({"card_created", "card_deactivated", "card_reactivated"})


def _provenance(event: LoyaltyEvent, entry: Entry, at: Where) -> tuple[Any, ...]:
    """Values of history.PROVENANCE_COLUMNS: what the event says about where and why."""
    data = event.data
    if event.type == "loyalty.purchase_refunded":
        order = data.order_reference
        return tuple(order if c == "order_reference" else None for c in history.PROVENANCE_COLUMNS)
    where = (
        at.store_id,
        at.store_name,
        at.staff_pin_id,
        at.staff_name,
        at.terminal_device_id,
        at.principal_kind,
        at.principal_id,
        at.ip_address,
        at.user_agent,
        data.notes,
    )
    if entry.type in _LIFECYCLE:
        return (*where, *_NO_PROVENANCE[len(where) :])
    amount = data.purchase_amount
    reward: tuple[str | None, int | None, str | None]
    reward = (data.reward_id, None, data.reward_description)
    if entry.reward is not None:
        reward_id, cost, description = entry.reward
        reward = (reward_id, cost, data.reward_description or description)
    elif entry.type == "points_redeemed" and data.reward_id is not None:
        reward = (data.reward_id, -entry.points, data.reward_description)
    return (
        *where,
        None if data.category_ids is None else json.dumps(data.category_ids),
        amount,
        None if amount is None else data.purchase_currency or entry.card.program.currency,
        data.order_reference,
        *reward,
    )


def outcome_of(decided: list[Entry] | Refusal | Waits | Done) -> Outcome:
    """What is told of an event, once its rows have ids."""
    if not isinstance(decided, list):
        return decided
    last = decided[-1]
    return Done(
        last.card.id,
        last.card.number,
        tuple(entry.id for entry in decided),
        sum(entry.points for entry in decided),
        last.balance_after,
        sum(entry.stamps for entry in decided),
        last.stamps_after,
    )
