"""Apply a batch of loyalty events: load what they touch, decide in memory in order, write at once.

One event and five hundred take the same road, and how events are cut into batches changes nothing in
what is booked.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from domain.db import Tx
from domain.ledger.rules import Transfer, points_account
from domain.loyalty import rules
from domain.loyalty.rules import Card, Entry, Refusal
from domain.loyalty.rules.cards import turn_to, usable
from domain.loyalty.rules.programs import MAX_BALANCE
from domain.loyalty.service.enrolment import open_cards
from domain.loyalty.store import cards as card_store
from domain.loyalty.store import history
from domain.loyalty.store import programs as program_store

SOURCE_KIND: Final = "loyalty_transaction"
"""What ledger transfers of points name as their source, with the transaction's id."""

_COUNTERPART: Final = {
    "points_earned": "points_issued",
    "welcome_bonus": "points_issued",
    "points_redeemed": "points_redeemed",
    "points_expired": "points_breakage",
}


class LoyaltyEvent(Protocol):
    """A claimed event. ``data`` has the attributes of ``payspool_client.events.loyalty``'s models."""

    @property
    def inbox_id(self) -> int: ...
    @property
    def merchant_id(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def data(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Done:
    """An applied event: the rows that it made, its points (signed), and the card's balance after it."""

    card_id: int
    card: str
    transaction_ids: tuple[int, ...]
    points: int
    balance: int


Outcome = Done | Refusal


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of each event, in order, and the transfers of points that the caller posts last."""

    outcomes: list[Outcome]
    transfers: list[Transfer]


@dataclass(slots=True)
class _Batch:
    now: datetime
    cards: dict[tuple[int, str], Card]
    # By inbox id, what became of each enrolment.
    opened: Mapping[int, Card | Refusal]
    # What is written: (entry, inbox id, provenance), in order.
    entries: list[tuple[Entry, int | None, tuple[Any, ...]]]
    changed: dict[int, Card]


def apply(tx: Tx, events: Sequence[LoyaltyEvent], now: datetime) -> Applied:
    """Apply ``events`` (each claimed in the inbox, of TYPES) in order at business time ``now``, UTC.

    Locks the cards in id order until the transaction ends. Whatever a producer can send gives a
    Refusal, never an exception. Expiry that is due is booked before an event, even a refused one.
    The transfers of points are returned, not posted: the caller posts all of its own at the very end.
    """
    if not events:
        return Applied([], [])
    batch = _load(tx, events, now)
    decided = [_HANDLERS[event.type](batch, event) for event in events]
    history.write(tx, batch.entries, list(batch.changed.values()))
    return Applied(
        [_outcome(entries) for entries in decided],
        [transfer_for(entry) for entry, _, _ in batch.entries if entry.points],
    )


def transfer_for(entry: Entry) -> Transfer:
    """The movement of points that ``entry`` is, in the currency ``points:<program>``."""
    program = entry.card.program
    liability = points_account(program.merchant_id, "points_liability", program.key)
    other = points_account(program.merchant_id, _COUNTERPART[entry.type], program.key)
    debit, credit = (other, liability) if entry.points > 0 else (liability, other)
    return Transfer(debit, credit, abs(entry.points), entry.type, SOURCE_KIND, entry.id, entry.at)


def _load(tx: Tx, events: Sequence[LoyaltyEvent], now: datetime) -> _Batch:
    programs = program_store.of_merchants(tx, (event.merchant_id for event in events))
    opened = open_cards(tx, events, programs, now)
    fresh = {(c.merchant_id, c.number) for c in opened.values() if isinstance(c, Card)}
    wanted = {
        (event.merchant_id, event.data.card)
        for event in events
        if event.type != "loyalty.card_created"
    }
    cards = card_store.lock(tx, wanted - fresh, {program.id: program for program in programs})
    oldest = min(now, *(event.time for event in events))
    card_store.load_lots(tx, _lots_needed(cards, events, oldest, now), oldest)
    return _Batch(now, cards, opened, [], {})


def _lots_needed(
    cards: Mapping[tuple[int, str], Card],
    events: Sequence[LoyaltyEvent],
    oldest: datetime,
    now: datetime,
) -> list[tuple[Card, int | None]]:
    """Cards whose lots a rule may look at, with the points asked of them, or None where all may go.

    Earning alone needs no lots.
    """
    asked: dict[tuple[int, str], int] = {}
    for event in events:
        if event.type == "loyalty.points_redeemed":
            key = (event.merchant_id, event.data.card)
            asked[key] = asked.get(key, 0) + max(event.data.points or 0, 0)
    needed: list[tuple[Card, int | None]] = []
    for key, card in cards.items():
        if _may_expire(card, oldest, now):
            needed.append((card, None))
        elif key in asked:
            needed.append((card, min(asked[key], MAX_BALANCE)))
    return needed


def _may_expire(card: Card, oldest: datetime, now: datetime) -> bool:
    days = card.program.inactivity_days
    return (card.deadline is not None and card.deadline <= now) or (
        # A deadline that an event of this batch sets is at least this far from that event.
        days is not None and oldest + timedelta(days) <= now
    )


def _card_created(batch: _Batch, event: LoyaltyEvent) -> list[Entry] | Refusal:
    card = batch.opened[event.inbox_id]
    if isinstance(card, Refusal):
        return card
    batch.cards[card.merchant_id, card.number] = card
    at = card.last_activity_at
    return _keep(batch, event, rules.enrol(card, happened_at=event.time, at=at))


def _points_earned(batch: _Batch, event: LoyaltyEvent) -> list[Entry] | Refusal:
    found = _turn(batch, event)
    if isinstance(found, Refusal):
        return found
    card, at = found
    data, program = event.data, card.program
    points = data.points
    if points is not None:
        explained = {"rule": "given", "points": points}
    elif data.purchase_amount is None:
        return Refusal("missing_amount", "an earn needs `points` or a `purchase_amount`")
    else:
        points = rules.points_for_purchase(program, data.purchase_amount, data.purchase_currency)
        if isinstance(points, Refusal):
            return points
        explained = {
            "rule": "purchase",
            "purchase_amount": data.purchase_amount,
            "earn_points": program.earn_points,
            "earn_per_amount": program.earn_per_amount,
            "points": points,
        }
    booked = rules.credit(
        card, "points_earned", points, happened_at=event.time, at=at, explanation=explained
    )
    return booked if isinstance(booked, Refusal) else _keep(batch, event, [booked])


def _points_redeemed(batch: _Batch, event: LoyaltyEvent) -> list[Entry] | Refusal:
    found = _turn(batch, event)
    if isinstance(found, Refusal):
        return found
    card, at = found
    points = event.data.points
    if points is None:
        return Refusal("missing_points", "a redemption needs `points`: what the reward costs")
    explained = {"rule": "given", "points": points, "reward_id": event.data.reward_id}
    booked = rules.redeem(card, points, happened_at=event.time, at=at, explanation=explained)
    return booked if isinstance(booked, Refusal) else _keep(batch, event, [booked])


_HANDLERS: Final[Mapping[str, Callable[[_Batch, LoyaltyEvent], list[Entry] | Refusal]]] = {
    "loyalty.card_created": _card_created,
    "loyalty.points_earned": _points_earned,
    "loyalty.points_redeemed": _points_redeemed,
}

TYPES: Final = frozenset(_HANDLERS)
"""Event types that ``apply`` takes."""


def _turn(batch: _Batch, event: LoyaltyEvent) -> tuple[Card, datetime] | Refusal:
    """Find the event's card, book the expiry that is due on it, and see that it can be used."""
    card = batch.cards.get((event.merchant_id, event.data.card))
    if card is None:
        return Refusal("card_unknown", f"there is no card {event.data.card}")
    due = card.deadline
    at, expired = turn_to(card, event.time, batch.now)
    if expired is not None:
        batch.entries.append((expired, None, _NO_PROVENANCE))
    if card.deadline != due:
        batch.changed[card.id] = card
    return usable(card, event.data.customer_id) or (card, at)


def _keep(batch: _Batch, event: LoyaltyEvent, entries: list[Entry]) -> list[Entry]:
    about = _provenance(event, entries[0])
    batch.entries.extend((entry, event.inbox_id, about) for entry in entries)
    batch.changed[entries[0].card.id] = entries[0].card
    return entries


_NO_PROVENANCE: Final[tuple[Any, ...]] = (None,) * len(history.PROVENANCE_COLUMNS)


def _provenance(event: LoyaltyEvent, entry: Entry) -> tuple[Any, ...]:
    """Values of history.PROVENANCE_COLUMNS: what the event says about where and why."""
    data = event.data
    where = (
        data.store_id,
        data.staff_pin_id,
        data.terminal_device_id,
        data.ip_address,
        data.user_agent,
        data.notes,
    )
    if entry.type == "card_created":
        return (*where, *_NO_PROVENANCE[len(where) :])
    amount = data.purchase_amount
    return (
        *where,
        None if data.category_ids is None else json.dumps(data.category_ids),
        amount,
        None if amount is None else data.purchase_currency or entry.card.program.currency,
        data.order_reference,
        data.reward_id,
        -entry.points if data.reward_id is not None and entry.points < 0 else None,
        data.reward_description,
    )


def _outcome(entries: list[Entry] | Refusal) -> Outcome:
    if isinstance(entries, Refusal):
        return entries
    last = entries[-1]
    return Done(
        last.card.id,
        last.card.number,
        tuple(entry.id for entry in entries),
        sum(entry.points for entry in entries),
        last.balance_after,
    )
