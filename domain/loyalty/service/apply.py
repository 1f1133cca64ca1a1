"""Apply a batch of loyalty events: load what they touch, decide in memory in order, write at once.

One event and five hundred take the same road, and how events are cut into batches changes nothing in
what is booked. What waited for an event of a batch is applied after the batch, in its transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from domain.db import Tx
from domain.ledger.rules import Transfer, points_account
from domain.loyalty import rules
from domain.loyalty.rules import Card, Entry, Refusal
from domain.loyalty.rules.cards import usable
from domain.loyalty.rules.earning import ONE
from domain.loyalty.service import corrections, stamps
from domain.loyalty.service.batch import (
    Batch,
    LoyaltyEvent,
    Outcome,
    keep,
    outcome_of,
    turn,
    turn_down,
)
from domain.loyalty.service.corrections import Decision
from domain.loyalty.service.loading import load
from domain.loyalty.store import corrections as correction_store
from domain.loyalty.store import history

SOURCE_KIND: Final = "loyalty_transaction"
"""What ledger transfers of points name as their source, with the transaction's id."""

_COUNTERPART: Final = {
    "points_earned": "points_issued",
    "welcome_bonus": "points_issued",
    "points_redeemed": "points_redeemed",
    "points_expired": "points_breakage",
    "points_adjustment": "points_issued",
}


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of each event, in order, and the transfers of points that the caller posts last.

    Under ``wakes`` (merchant, correlation) events wait whose original this batch applied: the caller
    applies them next, in the same transaction.
    """

    outcomes: list[Outcome]
    transfers: list[Transfer]
    wakes: set[tuple[int, str]] = field(default_factory=set)


def apply(tx: Tx, events: Sequence[LoyaltyEvent], now: datetime) -> Applied:
    """Apply ``events`` (each claimed in the inbox, of TYPES) in order at business time ``now``, UTC.

    Locks the cards in id order until the transaction ends. Whatever a producer can send gives a
    Refusal, never an exception. Expiry that is due is booked before an event, even a refused one.
    The transfers of points are returned, not posted: the caller posts all of its own at the very end.
    """
    if not events:
        return Applied([], [])
    batch = load(tx, events, now)
    decided = [_decide(batch, event) for event in events]
    history.write(tx, batch.entries, list(batch.changed.values()))
    if batch.refunds:
        correction_store.add_refunds(
            tx,
            [
                (
                    card.merchant_id,
                    card.id,
                    event.data.order_reference,
                    event.data.refund_id,
                    event.data.amount,
                    event.inbox_id,
                )
                for card, event in batch.refunds
            ],
        )
    return Applied(
        [outcome_of(one) for one in decided],
        [transfer_for(entry) for entry, _, _ in batch.entries if entry.points],
        batch.wakes,
    )


def _decide(batch: Batch, event: LoyaltyEvent) -> Decision:
    decided = _HANDLERS[event.type](batch, event)
    if isinstance(decided, Refusal):
        turn_down(batch, event)
    return decided


def transfer_for(entry: Entry) -> Transfer:
    """The movement of points that ``entry`` is, in the currency ``points:<program>``.

    A void moves back what its original moved.
    """
    program = entry.card.program
    type_ = entry.original.type if entry.original else entry.type
    liability = points_account(program.merchant_id, "points_liability", program.key)
    other = points_account(program.merchant_id, _COUNTERPART[type_], program.key)
    debit, credit = (other, liability) if entry.points > 0 else (liability, other)
    return Transfer(debit, credit, abs(entry.points), entry.type, SOURCE_KIND, entry.id, entry.at)


def _card_created(batch: Batch, event: LoyaltyEvent) -> Decision:
    card = batch.opened[event.inbox_id]
    if isinstance(card, Refusal):
        return card
    batch.cards[card.merchant_id, card.number] = card
    at = card.last_activity_at
    return keep(batch, event, rules.enrol(card, happened_at=event.time, at=at))


def _points_earned(batch: Batch, event: LoyaltyEvent) -> Decision:
    found = _turn_to_use(batch, event)
    if isinstance(found, Refusal):
        return found
    card, at = found
    earned = _earned(card, event)
    if isinstance(earned, Refusal):
        return earned
    points, explained = earned
    limited = rules.limited(card, points, event.time)
    if isinstance(limited, Refusal):
        return limited
    if limited < points:
        explained |= {"capped_from": points, "points": limited}
    booked = rules.credit(
        card, "points_earned", limited, happened_at=event.time, at=at, explanation=explained
    )
    return booked if isinstance(booked, Refusal) else keep(batch, event, [booked])


def _earned(card: Card, event: LoyaltyEvent) -> tuple[int, dict[str, Any]] | Refusal:
    """Points before the limits of a day, and why so many."""
    data, program = event.data, card.program
    if data.points is not None:
        return data.points, {"rule": "given", "points": data.points}
    if data.purchase_amount is None:
        return Refusal("missing_amount", "an earn needs `points` or a `purchase_amount`")
    times = rules.multiplier_of(
        program, event.time, store=data.store_id, categories=data.category_ids or ()
    )
    tier = rules.tier_of(card, event.time) if program.tiers else None
    points = rules.points_for_purchase(
        program,
        data.purchase_amount,
        data.purchase_currency,
        basis_points=times,
        tier_basis_points=tier.basis_points if tier else ONE,
    )
    if isinstance(points, Refusal):
        return points
    explained: dict[str, Any] = {
        "rule": "purchase",
        "purchase_amount": data.purchase_amount,
        "earn_points": program.earn_points,
        "earn_per_amount": program.earn_per_amount,
        "points": points,
    }
    if times != ONE:
        explained["basis_points"] = times
    if tier:
        explained |= {"tier": tier.key, "tier_basis_points": tier.basis_points}
    return points, explained


def _points_redeemed(batch: Batch, event: LoyaltyEvent) -> Decision:
    found = _turn_to_use(batch, event)
    if isinstance(found, Refusal):
        return found
    card, at = found
    data = event.data
    reward = card.program.reward(data.reward_id) if data.reward_id is not None else None
    points = data.points
    if reward is not None:
        if reward.points is None:
            return Refusal("reward_not_for_points", f"reward {reward.id} is for stamps")
        if points is not None and points != reward.points:
            return Refusal(
                "reward_cost_changed", f"reward {reward.id} costs {reward.points} points"
            )
        points = reward.points
    if points is None:
        if card.program.rewards:
            return Refusal("reward_unknown", f"the catalogue has no reward {data.reward_id}")
        return Refusal("missing_points", "a redemption needs `points`: what the reward costs")
    explained = {
        "rule": "reward" if reward else "given",
        "points": points,
        "reward_id": data.reward_id,
    }
    booked = rules.redeem(card, points, happened_at=event.time, at=at, explanation=explained)
    if isinstance(booked, Refusal):
        return booked
    if reward is not None:
        booked.reward = (reward.id, points, reward.description)
    return keep(batch, event, [booked])


def _turn_to_use(batch: Batch, event: LoyaltyEvent) -> tuple[Card, datetime] | Refusal:
    found = turn(batch, event)
    if isinstance(found, Refusal):
        return found
    card = found[0]
    return usable(card) or card.program.lacks("points") or found


_HANDLERS: Final[Mapping[str, Callable[[Batch, LoyaltyEvent], Decision]]] = {
    "loyalty.card_created": _card_created,
    "loyalty.card_deactivated": corrections.card_deactivated,
    "loyalty.card_reactivated": corrections.card_reactivated,
    "loyalty.points_adjusted": corrections.points_adjusted,
    "loyalty.points_earned": _points_earned,
    "loyalty.points_redeemed": _points_redeemed,
    "loyalty.points_voided": corrections.points_voided,
    "loyalty.purchase_refunded": corrections.purchase_refunded,
    "loyalty.stamp_adjusted": stamps.stamp_adjusted,
    "loyalty.stamp_earned": stamps.stamp_earned,
    "loyalty.stamp_redeemed": stamps.stamp_redeemed,
    "loyalty.stamp_voided": stamps.stamp_voided,
}

TYPES: Final = frozenset(_HANDLERS)
"""Event types that ``apply`` takes."""
