"""Apply a batch of loyalty events: load what they touch, decide in memory in order, write at once.

One event and five hundred take the same road, and how events are cut into batches changes nothing in
what is booked. What waited for an event of a batch is applied after the batch, in its transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from domain.db import Tx
from domain.earnings.rules import NewEarning
from domain.ledger.rules import Transfer
from domain.loyalty import rules
from domain.loyalty.rules import Card, Refusal
from domain.loyalty.rules.cards import creditable, redeemable, usable
from domain.loyalty.rules.earning import ONE
from domain.loyalty.service import cash, corrections, holding, stamps, velocity
from domain.loyalty.service.anonymizing import ANONYMIZED, Forgotten, anonymize
from domain.loyalty.service.attributing import where
from domain.loyalty.service.batch import Batch, keep, outcome_of, turn, turn_down, wait_for_card
from domain.loyalty.service.corrections import Decision
from domain.loyalty.service.events import NEEDS_CARD, Done, LoyaltyEvent, Outcome, Waits
from domain.loyalty.service.loading import load
from domain.loyalty.service.rewards import cost_of
from domain.loyalty.service.transfers import transfer_for
from domain.loyalty.service.velocity import judge
from domain.loyalty.store import corrections as correction_store
from domain.loyalty.store import history
from domain.loyalty.store import tiers as tier_store


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of each event, in order, and the transfers of points that the caller posts last.

    Under ``wakes`` (merchant, correlation) events wait whose original this batch applied: the caller
    applies them next, in the same transaction.
    """

    outcomes: list[Outcome]
    transfers: list[Transfer]
    wakes: set[tuple[int, str]] = field(default_factory=set)
    # What rewards of cash earn, which the caller records with the transfers.
    earnings: list[NewEarning] = field(default_factory=list)
    # Customers who were anonymized: the caller forgets what else it keeps of them.
    forgotten: list[Forgotten] = field(default_factory=list)


def apply(tx: Tx, events: Sequence[LoyaltyEvent], now: datetime) -> Applied:
    """Apply ``events`` (each claimed in the inbox, of TYPES) in order at business time ``now``, UTC.

    Locks the cards in id order until the transaction ends. Whatever a producer can send gives a
    Refusal, never an exception. Expiry that is due is booked before an event, even a refused one.
    The transfers of points are returned, not posted: the caller posts all of its own at the very end.
    """
    for place, event in enumerate(events):
        if event.type == ANONYMIZED:
            # In its order, and alone: what comes before it names the customer, what comes after does not.
            before = _apply(tx, events[:place], now)
            gone = anonymize(tx, event.merchant_id, event.inbox_id, event.data.customer_id, now)
            after = apply(tx, events[place + 1 :], now)
            card = gone[0].card
            done = Done(0, card or "", (), 0, 0, noted=None if card else "no_card")
            return Applied(
                [*before.outcomes, done, *after.outcomes],
                [*before.transfers, *after.transfers],
                before.wakes | after.wakes,
                [*before.earnings, *after.earnings],
                [*before.forgotten, *gone, *after.forgotten],
            )
    return _apply(tx, events, now)


def _apply(tx: Tx, events: Sequence[LoyaltyEvent], now: datetime) -> Applied:
    if not events:
        return Applied([], [])
    batch = load(tx, events, now)
    decided = _decide_all(batch, events)
    velocity.flush(tx, batch.velocity)
    history.write(tx, batch.entries, list(batch.changed.values()), batch.holds)
    if batch.tiered:
        tier_store.write(tx, batch.tier_changes, batch.tiered.values())
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
        cash.earnings_of(tx, (entry for entry, _, _ in batch.entries)),
    )


def _decide_all(batch: Batch, events: Sequence[LoyaltyEvent]) -> list[Decision]:
    """Decide in order; what waited for a card follows its enrolment, oldest first, before anything that comes after that."""
    decided: list[Decision] = []
    parked: dict[tuple[int, str], list[int]] = {}
    for place, event in enumerate(events):
        one = _decide(batch, event)
        decided.append(one)
        card = (event.merchant_id, event.data.card)
        if isinstance(one, Waits) and event.type in NEEDS_CARD:
            parked.setdefault(card, []).append(place)
        elif event.type == "loyalty.card_created" and card in batch.cards:
            waited = sorted(parked.pop(card, ()), key=lambda at: _order(events[at]))
            for at in waited:
                decided[at] = _decide(batch, events[at])
    return decided


def _order(event: LoyaltyEvent) -> tuple[datetime, str, str]:
    return (event.time, event.source, event.event_id)


def _decide(batch: Batch, event: LoyaltyEvent) -> Decision:
    waits = wait_for_card(batch, event)
    if waits is not None:
        return waits
    at = where(batch.desks, event, batch.cards.get((event.merchant_id, event.data.card)))
    if isinstance(at, Refusal):
        turn_down(batch, event)
        return at
    batch.where[event.inbox_id] = at
    decided = _HANDLERS[event.type](batch, event)
    if batch.revival is not None:
        # Nothing was kept of the event.
        batch.revival.undo()
        batch.revival = None
    if isinstance(decided, Refusal):
        turn_down(batch, event)
    return decided


def _card_created(batch: Batch, event: LoyaltyEvent) -> Decision:
    card = batch.opened[event.inbox_id]
    if isinstance(card, Refusal):
        return card
    batch.cards[card.merchant_id, card.number] = card
    at = card.last_activity_at
    return keep(batch, event, rules.enrol(card, happened_at=event.time, at=at))


def _points_earned(batch: Batch, event: LoyaltyEvent) -> Decision:
    found = _turn_to_use(batch, event, "points_earned")
    if isinstance(found, Refusal):
        return found
    card, at = found
    earned = _earned(card, event, batch.where[event.inbox_id].store_id)
    if isinstance(earned, Refusal):
        return earned
    points, explained = earned
    limited = rules.limited(card, points, event.time)
    if isinstance(limited, Refusal):
        return limited
    refusal = creditable(card, limited) or judge(batch, event, card, limited)
    if refusal is not None:
        return refusal
    if limited < points:
        explained |= {"capped_from": points, "points": limited}
    booked = rules.credit(
        card, "points_earned", limited, happened_at=event.time, at=at, explanation=explained
    )
    return booked if isinstance(booked, Refusal) else keep(batch, event, [booked])


def _earned(
    card: Card, event: LoyaltyEvent, store: str | None
) -> tuple[int, dict[str, Any]] | Refusal:
    """Points before the limits of a day, and why so many."""
    data, program = event.data, card.program
    if data.points is not None:
        return data.points, {"rule": "given", "points": data.points}
    if data.purchase_amount is None:
        return Refusal("missing_amount", "an earn needs `points` or a `purchase_amount`")
    times = rules.multiplier_of(
        program, event.time, store=store, categories=data.category_ids or ()
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
    found = _turn_to_use(batch, event, "points_redeemed")
    if isinstance(found, Refusal):
        return found
    card, at = found
    data = event.data
    asked = cost_of(card.program, data)
    if isinstance(asked, Refusal):
        return asked
    points, reward = asked
    explained: dict[str, Any] = {
        "rule": "reward" if reward else "given",
        "points": points,
        "reward_id": data.reward_id,
    }
    if reward is not None and reward.cash is not None:
        if card.anonymized:
            return Refusal("customer_unknown", f"nobody is known to pay for card {card.number}")
        explained |= {"cash": reward.cash, "currency": card.program.currency}
    refusal = redeemable(card, points, at)
    if refusal is not None and refusal.reason == "insufficient_points":
        given = rules.in_time(card, points, event.time, batch.now)
        if given is not None:
            # Of the two, the first undoes both.
            batch.revival = batch.revival or given
            if batch.revival is not given:
                batch.revival.entries += given.entries
            at = event.time
            refusal = redeemable(card, points, at)
    refusal = refusal or judge(batch, event, card, points)
    if refusal is not None:
        return refusal
    booked = rules.redeem(card, points, happened_at=event.time, at=at, explanation=explained)
    assert isinstance(booked, rules.Entry), "it was redeemable"
    if reward is not None:
        booked.reward = (reward.id, points, reward.description)
        booked.cash = reward.cash or 0
    return keep(batch, event, [booked])


def _turn_to_use(batch: Batch, event: LoyaltyEvent, type_: str) -> tuple[Card, datetime] | Refusal:
    found = turn(batch, event, proves=type_)
    if isinstance(found, Refusal):
        return found
    card = found[0]
    return usable(card) or card.program.lacks("points") or found


_HANDLERS: Final[Mapping[str, Callable[[Batch, LoyaltyEvent], Decision]]] = {
    "loyalty.card_created": _card_created,
    "loyalty.card_deactivated": corrections.card_deactivated,
    "loyalty.card_reactivated": corrections.card_reactivated,
    "loyalty.hold_captured": holding.hold_captured,
    "loyalty.hold_released": holding.hold_released,
    "loyalty.points_adjusted": corrections.points_adjusted,
    "loyalty.points_earned": _points_earned,
    "loyalty.points_held": holding.points_held,
    "loyalty.points_redeemed": _points_redeemed,
    "loyalty.points_voided": corrections.points_voided,
    "loyalty.purchase_refunded": corrections.purchase_refunded,
    "loyalty.stamp_adjusted": stamps.stamp_adjusted,
    "loyalty.stamp_earned": stamps.stamp_earned,
    "loyalty.stamp_redeemed": stamps.stamp_redeemed,
    "loyalty.stamp_voided": stamps.stamp_voided,
}

TYPES: Final = frozenset({*_HANDLERS, ANONYMIZED})
"""Event types that ``apply`` takes."""
