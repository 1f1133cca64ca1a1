"""Stamps: earned, redeemed, voided and adjusted."""

from datetime import datetime

from domain.loyalty.rules import Card, Refusal
from domain.loyalty.rules.cards import Original, usable
from domain.loyalty.rules.stamps import (
    adjust_stamps,
    earn_stamps,
    redeem_stamps,
    stampable,
    stamps_asked,
    void_stamps,
)
from domain.loyalty.service.batch import Batch, keep, turn
from domain.loyalty.service.corrections import Decision, find_original
from domain.loyalty.service.events import LoyaltyEvent
from domain.loyalty.service.velocity import judge

_STAMP_EVENTS = frozenset({"loyalty.stamp_earned"})


def stamp_earned(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Stamp a card."""
    found = _turn(batch, event, "stamp_earned")
    if isinstance(found, Refusal):
        return found
    card, at = found
    refusal = stampable(card, event.data.stamps, event.time) or judge(batch, event, card, 0)
    if refusal is not None:
        return refusal
    booked = earn_stamps(card, event.data.stamps, happened_at=event.time, at=at)
    return booked if isinstance(booked, Refusal) else keep(batch, event, [booked])


def stamp_redeemed(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Spend a full card."""
    found = _turn(batch, event, "stamp_redeemed")
    if isinstance(found, Refusal):
        return found
    card, at = found
    data = event.data
    asked = stamps_asked(card, data.stamps, data.reward_id)
    refusal = asked if isinstance(asked, Refusal) else judge(batch, event, card, 0)
    if refusal is not None:
        return refusal
    booked = redeem_stamps(card, data.stamps, data.reward_id, happened_at=event.time, at=at)
    return booked if isinstance(booked, Refusal) else keep(batch, event, [booked])


def stamp_voided(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Take back stamps that were earned."""
    original = find_original(batch, event, _STAMP_EVENTS)
    if not isinstance(original, Original):
        return original
    found = _turn(batch, event)
    if isinstance(found, Refusal):
        return found
    card, at = found
    booked = void_stamps(card, original, event.data.stamps, happened_at=event.time, at=at)
    return booked if isinstance(booked, Refusal) else keep(batch, event, [booked])


def stamp_adjusted(batch: Batch, event: LoyaltyEvent) -> Decision:
    """Correct stamps by hand."""
    found = _turn(batch, event)
    if isinstance(found, Refusal):
        return found
    card, at = found
    data = event.data
    booked = adjust_stamps(card, data.stamps, data.reason, happened_at=event.time, at=at)
    return booked if isinstance(booked, Refusal) else keep(batch, event, [booked])


def _turn(
    batch: Batch, event: LoyaltyEvent, uses: str | None = None
) -> tuple[Card, datetime] | Refusal:
    found = turn(batch, event, proves=uses)
    if isinstance(found, Refusal):
        return found
    refusal = usable(found[0]) if uses else None
    return refusal or found[0].program.lacks("stamps") or found
