"""The events of a redemption in two phases: points are held, then captured or released."""

from datetime import datetime

from domain.loyalty import rules
from domain.loyalty.rules import Card, Hold, Refusal
from domain.loyalty.rules.cards import redeemable, usable
from domain.loyalty.service.batch import (
    Batch,
    keep,
    keep_due,
    reverse_nothing,
    settle,
    turn,
    wait,
    wake,
)
from domain.loyalty.service.corrections import Decision
from domain.loyalty.service.events import Done, EventKey, LoyaltyEvent, Waits, correlation_of
from domain.loyalty.service.rewards import cost_of
from domain.loyalty.service.velocity import judge


def points_held(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Reserve points for a redemption that is not certain yet."""
    found = _turn_to_use(batch, event)
    if isinstance(found, Refusal):
        return found
    card, at = found
    asked = cost_of(card.program, event.data)
    if isinstance(asked, Refusal):
        return asked
    points, reward = asked
    if reward is not None and reward.cash is not None:
        return Refusal("reward_not_held", f"reward {reward.id} pays cash: redeem it at once")
    refusal = redeemable(card, points, at) or judge(batch, event, card, points)
    if refusal is not None:
        return refusal
    placed = rules.hold(card, points, at=at)
    if isinstance(placed, Refusal):
        return placed
    placed.inbox_id = event.inbox_id
    if reward is not None:
        placed.reward = (reward.id, points, event.data.reward_description or reward.description)
    elif event.data.reward_id is not None:
        placed.reward = (event.data.reward_id, points, event.data.reward_description)
    if batch.corrections is not None:
        key = (event.merchant_id, event.source, event.event_id)
        batch.corrections.kinds.setdefault(key, event.type)
        batch.corrections.holds[key] = placed
    wake(batch, event, card)
    return _changed(batch, card, placed)


def hold_captured(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Redeem what was held, or a part of it."""
    held = _find(batch, event)
    if not isinstance(held, Hold):
        return held
    found = _turn_to_use(batch, event, "points_redeemed")
    if isinstance(found, Refusal):
        return found
    card, at = found
    booked = rules.capture(card, held, event.data.points, happened_at=event.time, at=at)
    if isinstance(booked, Refusal):
        return booked
    held.closed_by = event.inbox_id
    _changed(batch, card, held)
    kept = keep(batch, event, [booked])
    keep_due(batch, card, [], rules.book_due_expiry(card, at))
    return kept


def hold_released(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Give up what was held. A card that is out of use can do that."""
    held = _find(batch, event)
    if not isinstance(held, Hold):
        return held
    turned = turn(batch, event)
    if isinstance(turned, Refusal):
        return turned
    card, at = turned
    refusal = rules.release(card, held, at)
    if refusal is not None:
        return refusal
    held.closed_by = event.inbox_id
    # What passed its deadline while it was held is gone at once.
    keep_due(batch, card, [], rules.book_due_expiry(card, at))
    return _changed(batch, card, held)


def _changed(batch: Batch, card: Card, held: Hold) -> Done:
    if all(one is not held for _, one in batch.holds):
        batch.holds.append((card, held))
    batch.changed[card.id] = card
    return Done(card.id, card.number, (), 0, card.balance, 0, card.stamps)


def _turn_to_use(
    batch: Batch, event: LoyaltyEvent, type_: str | None = None
) -> tuple[Card, datetime] | Refusal:
    turned = turn(batch, event, proves=type_)
    if isinstance(turned, Refusal):
        return turned
    return usable(turned[0]) or turned[0].program.lacks("points") or turned


def _find(batch: Batch, event: LoyaltyEvent) -> Hold | Refusal | Waits | Done:
    """The hold that an event names, or that it waits for it, or that this event was applied before."""
    known = batch.corrections
    assert known is not None, "loaded for every batch with the end of a hold"
    if event.inbox_id in known.made:
        return known.made[event.inbox_id]
    related = event.data.related_event
    key: EventKey = (event.merchant_id, related.source or event.source, related.id)
    card = batch.cards.get((event.merchant_id, event.data.card))
    name = correlation_of(event.type, event.data, event.source)
    assert name is not None
    kind = known.kinds.get(key)
    if kind not in (None, "loyalty.points_held"):
        return Refusal("not_a_hold", f"the event that it names is {kind}, not loyalty.points_held")
    held = known.holds.get(key)
    if held is not None:
        settle(batch, card, name)
        if card is not None and held.closed_by == event.inbox_id:
            return Done(card.id, card.number, (), 0, card.balance, 0, card.stamps)
        return held
    if card is not None and (event.merchant_id, card.number, name) in known.refused:
        if event.type == "loyalty.hold_released":
            return reverse_nothing(batch, event, card, name)
        return Refusal("hold_refused", "the hold was refused, so there is nothing to capture")
    return wait(batch, event, card, name)
