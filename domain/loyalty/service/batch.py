"""A batch of loyalty events in memory: what was loaded, what became of it, and what is to be written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from domain.loyalty.rules import Card, Entry, Refusal
from domain.loyalty.rules.cards import Original, mismatch, turn_to
from domain.loyalty.rules.corrections import original_of
from domain.loyalty.rules.refunds import Order
from domain.loyalty.store import history


class LoyaltyEvent(Protocol):
    """A claimed event. ``data`` has the attributes of ``payspool_client.events.loyalty``'s models."""

    @property
    def inbox_id(self) -> int: ...
    @property
    def merchant_id(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def data(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Done:
    """An applied event: the rows that it made, its points (signed), and the card's balances after it.

    ``noted`` says why an applied event made no row. Under ``correlation`` it is looked at again, should
    the original that was refused be accepted.
    """

    card_id: int
    card: str
    transaction_ids: tuple[int, ...]
    points: int
    balance: int
    stamps: int = 0
    stamps_balance: int = 0
    noted: str | None = None
    correlation: str | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """The event's original has not arrived: it is taken up again with what ``correlation`` names."""

    correlation: str


Outcome = Done | Refusal | Waits

EventKey = tuple[int, str, str]
"""(merchant, source, id) of an event."""


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
    # Correlations under which something waits that this batch has brought.
    wakes: set[tuple[int, str]] = field(default_factory=set)
    waiting: set[tuple[int, str]] = field(default_factory=set)


def event_correlation(source: str, event_id: str) -> str:
    """What an event waits under whose original is the event (source, id)."""
    return f"event:{source}/{event_id}"


def order_correlation(order_reference: str) -> str:
    """What a refund waits under whose purchase has not arrived."""
    return f"order:{order_reference}"


def correlation_of(event_type: str, data: Any, source: str) -> str | None:
    """What ties a correction to its original, or None for any other event.

    Originals take no part: who applies one holds its card's lock, and finds there what waits for it.
    """
    if event_type == "loyalty.purchase_refunded":
        return order_correlation(data.order_reference)
    related = getattr(data, "related_event", None)
    if event_type in ("loyalty.points_voided", "loyalty.stamp_voided") and related is not None:
        return event_correlation(related.source or source, related.id)
    return None


def turn(
    batch: Batch, event: LoyaltyEvent, *, card: Card | None = None
) -> tuple[Card, datetime] | Refusal:
    """Find the event's card, book the expiry that is due on it, and see that it is its customer's."""
    card = card or batch.cards.get((event.merchant_id, event.data.card))
    if card is None:
        return Refusal("card_unknown", f"there is no card {event.data.card}")
    due = card.deadline
    at, expired = turn_to(card, event.time, batch.now)
    if expired:
        batch.entries.extend((entry, None, _NO_PROVENANCE) for entry in expired)
    if expired or card.deadline != due:
        batch.changed[card.id] = card
    return mismatch(card, getattr(event.data, "customer_id", None)) or (card, at)


def keep(batch: Batch, event: LoyaltyEvent, entries: list[Entry]) -> list[Entry]:
    """Have ``entries`` written, and wake what waited for the event."""
    card = entries[0].card
    about = _provenance(event, entries[0])
    batch.entries.extend((entry, event.inbox_id, about) for entry in entries)
    batch.changed[card.id] = card
    if batch.corrections is not None:
        _remember(batch.corrections, event, entries)
    found = _awaited(batch, event, card)
    if found:
        batch.wakes |= {(event.merchant_id, name) for name in found}
        card.awaits -= found
        card.reshaped = True
    return entries


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
    {"loyalty.points_earned", "loyalty.points_redeemed", "loyalty.stamp_earned"}
)
_LIFECYCLE: Final = frozenset({"card_created", "card_deactivated", "card_reactivated"})


def _provenance(event: LoyaltyEvent, entry: Entry) -> tuple[Any, ...]:
    """Values of history.PROVENANCE_COLUMNS: what the event says about where and why."""
    data = event.data
    if event.type == "loyalty.purchase_refunded":
        order = data.order_reference
        return tuple(order if c == "order_reference" else None for c in history.PROVENANCE_COLUMNS)
    where = (
        data.store_id,
        data.staff_pin_id,
        data.terminal_device_id,
        data.ip_address,
        data.user_agent,
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
