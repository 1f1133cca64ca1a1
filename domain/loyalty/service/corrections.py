"""Corrections: voids, adjustments, refunds of purchases, and taking cards out of use."""

from domain.loyalty import rules
from domain.loyalty.rules import Card, Entry, Refusal
from domain.loyalty.rules.cards import Original
from domain.loyalty.rules.refunds import clawback
from domain.loyalty.service.batch import (
    Batch,
    Corrections,
    keep,
    reverse_nothing,
    settle,
    turn,
    wait,
)
from domain.loyalty.service.events import Done, LoyaltyEvent, Waits, correlation_of

Decision = list[Entry] | Refusal | Waits | Done

_POINTS_EVENTS = frozenset(
    {
        "loyalty.card_created",
        "loyalty.points_earned",
        "loyalty.points_redeemed",
        "loyalty.hold_captured",
    }
)


def points_voided(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Take back an earn, or give back a redemption."""
    found = find_original(batch, event, _POINTS_EVENTS)
    if not isinstance(found, Original):
        return found
    turned = turn(batch, event)
    if isinstance(turned, Refusal):
        return turned
    card, at = turned
    booked = rules.void(card, found, event.data.points, happened_at=event.time, at=at)
    return booked if isinstance(booked, Refusal) else keep(batch, event, [booked])


def points_adjusted(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Correct a balance by hand."""
    turned = turn(batch, event)
    if isinstance(turned, Refusal):
        return turned
    card, at = turned
    data = event.data
    booked = rules.adjust(card, data.points, data.reason, happened_at=event.time, at=at)
    return booked if isinstance(booked, Refusal) else keep(batch, event, [booked])


def card_deactivated(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Take a card out of use."""
    return _set_active(batch, event, False)


def card_reactivated(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Put a card back into use."""
    return _set_active(batch, event, True)


def _set_active(batch: Batch, event: LoyaltyEvent, active: bool) -> Decision:
    turned = turn(batch, event)
    if isinstance(turned, Refusal):
        return turned
    card, at = turned
    if event.data.card in card.aliases:
        # Said of the old number, and perhaps long ago: it must not take the survivor out of use.
        said = f"card {event.data.card} was merged into {card.number}: name that"
        return Refusal("card_merged", said)
    reason = event.data.reason
    booked = rules.set_active(card, active, reason, happened_at=event.time, at=at)
    return booked if isinstance(booked, Refusal) else keep(batch, event, [booked])


def purchase_refunded(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Take back the refunded share of what an order earned; keyed by the refund's id."""
    known = _known(batch)
    if event.inbox_id in known.made:
        return known.made[event.inbox_id]
    data = event.data
    name = correlation_of(event.type, data, event.source)
    assert name is not None
    card = _card_of_order(batch, event)
    if isinstance(card, Refusal):
        return card
    order = known.orders.get((card.id, data.order_reference)) if card else None
    if card is None or order is None:
        return _without_original(batch, event, card, name)
    settle(batch, card, name)
    turned = turn(batch, event, card=card)
    if isinstance(turned, Refusal):
        return turned
    _, at = turned
    refusal = order.refuse(data.refund_id, data.amount, data.currency)
    if refusal is not None:
        return refusal
    refunded = order.refunded + data.amount
    entries: list[Entry] = []
    for earn in order.earns:
        points = clawback(earn, order, refunded)
        if points:
            explained = {
                "rule": "refund",
                "refund_id": data.refund_id,
                "refunded": refunded,
                "purchase_amount": order.total,
                "earned": earn.points,
                "points": points,
            }
            booked = rules.take_back(
                card,
                "points_voided",
                points,
                original=earn,
                happened_at=event.time,
                at=at,
                explanation=explained,
            )
            if isinstance(booked, Refusal):
                assert not entries, "a debt only grows, so the first earn refuses or none"
                return booked
            entries.append(booked)
    order.refunded = refunded
    order.refund_ids.add(data.refund_id)
    batch.refunds.append((card, event))
    if entries:
        return keep(batch, event, entries)
    return Done(card.id, card.number, (), 0, card.balance, noted="nothing_to_reverse")


def _card_of_order(batch: Batch, event: LoyaltyEvent) -> Card | Refusal | None:
    """The card that a refund is about: the one named, else the one that earned for the order."""
    if event.data.card is not None:
        return batch.cards.get((event.merchant_id, event.data.card))
    ids = _known(batch).order_cards.get((event.merchant_id, event.data.order_reference), set())
    if len(ids) > 1:
        return Refusal(
            "order_ambiguous",
            f"{len(ids)} cards earned for order {event.data.order_reference}: name the `card`",
        )
    return next((card for card in batch.cards.values() if card.id in ids), None)


def find_original(
    batch: Batch, event: LoyaltyEvent, voidable: frozenset[str]
) -> Original | Refusal | Waits | Done:
    """The row that a void names, or that it waits for it, or that this event was applied before."""
    known = _known(batch)
    if event.inbox_id in known.made:
        return known.made[event.inbox_id]
    related = event.data.related_event
    key = (event.merchant_id, related.source or event.source, related.id)
    kind = known.kinds.get(key)
    if kind is not None and kind not in voidable:
        return Refusal("not_voidable", f"{kind} cannot be voided by {event.type}")
    original = known.originals.get(key)
    if original is None and kind == "loyalty.card_created":
        return Refusal("not_voidable", "that enrolment gave no welcome bonus")
    card = batch.cards.get((event.merchant_id, event.data.card))
    name = correlation_of(event.type, event.data, event.source)
    assert name is not None
    if original is None:
        return _without_original(batch, event, card, name)
    settle(batch, card, name)
    return original


def _without_original(
    batch: Batch, event: LoyaltyEvent, card: Card | None, name: str
) -> Waits | Done:
    """Wait for the original, or reverse nothing where it was refused.

    Only a card that is there can remember to look again, so that others wait on.
    """
    if card and (event.merchant_id, card.number, name) in _known(batch).refused:
        return reverse_nothing(batch, event, card, name)
    return wait(batch, event, card, name)


def _known(batch: Batch) -> Corrections:
    assert batch.corrections is not None, "loaded for every batch with a correction"
    return batch.corrections
