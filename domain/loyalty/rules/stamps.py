"""Stamps: earned one at a time, redeemed by the full card.

Ten stamps are a coffee, one stamp a quarter of an hour at most:

>>> from datetime import UTC, datetime, timedelta
>>> from domain.loyalty.rules.programs import Program
>>> program = Program(id=1, merchant_id=1, key="beans", zone="UTC", currency="eur", earn_points=1,
...     earn_per_amount=100, kind="stamps", stamp_target=2, stamp_reward="A coffee")
>>> at = datetime(2026, 6, 1, 8, tzinfo=UTC)
>>> card = Card(id=1, merchant_id=1, program=program, number="C1", customer_id="ada",
...     last_activity_at=at, lots=[], recent=[])
>>> earn_stamps(card, 1, happened_at=at, at=at).stamps_after
1
>>> soon, later = at + timedelta(minutes=14), at + timedelta(minutes=15)
>>> earn_stamps(card, 1, happened_at=soon, at=soon).reason
'too_soon'
>>> redeem_stamps(card, None, None, happened_at=soon, at=soon).reason
'insufficient_stamps'
>>> earn_stamps(card, 1, happened_at=later, at=later).stamps_after
2
>>> full = redeem_stamps(card, None, None, happened_at=later, at=later)
>>> full.stamps_after, full.reward
(0, (None, 2, 'A coffee'))
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.loyalty.rules.cards import Card, Entry, Original, Recent, book, note_activity
from domain.loyalty.rules.earning import of_the_day, too_soon
from domain.loyalty.rules.programs import MAX_BALANCE, Refusal


def earn_stamps(card: Card, stamps: int, *, happened_at: datetime, at: datetime) -> Entry | Refusal:
    """Stamp the card, within the program's cooldown and its limit of a day."""
    refusal = stampable(card, stamps, happened_at)
    if refusal is not None:
        return refusal
    assert card.recent is not None, "loaded for every card with a stamp"
    explained = {"rule": "given", "stamps": stamps}
    booked = _book(card, "stamp_earned", stamps, happened_at, at, explained)
    if isinstance(booked, Entry):
        card.recent.append(Recent(happened_at, 0, stamps, booked))
        note_activity(card, "stamp_earned", at)
    return booked


def stampable(card: Card, stamps: int, happened_at: datetime) -> Refusal | None:
    """The refusal of stamps that come too soon, are too many for a day, or for a card."""
    program = card.program
    assert card.recent is not None, "loaded for every card with a stamp"
    soon = too_soon(card, happened_at, program.stamp_cooldown_minutes, stamps=True)
    if soon is not None:
        return soon
    limit = program.stamp_daily_limit
    if limit is not None:
        today = sum(recent.stamps for recent in of_the_day(card, happened_at))
        if today + stamps > limit:
            return Refusal(
                "daily_limit_reached", f"a card gets at most {limit} stamps a day, it has {today}"
            )
    return _beyond(card, stamps)


def redeem_stamps(
    card: Card,
    stamps: int | None,
    reward_id: str | None,
    *,
    happened_at: datetime,
    at: datetime,
) -> Entry | Refusal:
    """Spend a full card: what the reward of the catalogue costs, the number given, or the target."""
    asked = stamps_asked(card, stamps, reward_id)
    if isinstance(asked, Refusal):
        return asked
    wanted, described, rule = asked
    explained = {"rule": rule, "stamps": wanted}
    booked = _book(card, "stamp_redeemed", -wanted, happened_at, at, explained)
    if isinstance(booked, Entry):
        booked.reward = (reward_id, wanted, described)
        note_activity(card, "stamp_redeemed", at)
    return booked


def stamps_asked(
    card: Card, stamps: int | None, reward_id: str | None
) -> tuple[int, str | None, str] | Refusal:
    """Stamps that a redemption costs, what it is worth, and by which rule; or why the card cannot redeem it."""
    program = card.program
    reward = program.reward(reward_id)
    described = program.stamp_reward
    cost = program.stamp_target
    if reward is not None:
        cost, described = reward.stamps, reward.description
        if cost is None:
            return Refusal("reward_not_for_stamps", f"reward {reward_id} is for points")
        if stamps is not None and stamps != cost:
            return Refusal("reward_cost_changed", f"reward {reward_id} costs {cost} stamps")
    wanted = stamps if stamps is not None else cost
    if wanted is None:
        return Refusal("missing_stamps", "the program has no target: say how many `stamps`")
    rule = "given" if stamps else "reward" if reward else "target"
    return _beyond(card, -wanted) or (wanted, described, rule)


def void_stamps(
    card: Card, original: Original, stamps: int | None, *, happened_at: datetime, at: datetime
) -> Entry | Refusal:
    """Take back stamps that were earned: never more than were, and none that were spent."""
    if original.card_id != card.id:
        return Refusal("other_card", f"the event to void is not of card {card.number}")
    left = original.stamps - original.undone
    if left <= 0:
        return Refusal("already_voided", "all of it was voided before")
    wanted = left if stamps is None else stamps
    if wanted > left:
        return Refusal("void_exceeds_original", f"{left} stamps are left to void, not {wanted}")
    explained = {"rule": "void", "stamps": wanted}
    booked = _book(card, "stamp_voided", -wanted, happened_at, at, explained)
    if isinstance(booked, Entry):
        booked.original = original
        original.undo(card, wanted)
    return booked


def adjust_stamps(
    card: Card, stamps: int, reason: str, *, happened_at: datetime, at: datetime
) -> Entry | Refusal:
    """Correct the stamps by hand, up or down; a card never owes stamps."""
    explained = {"rule": "adjustment", "stamps": stamps}
    booked = _book(card, "stamp_adjustment", stamps, happened_at, at, explained)
    if isinstance(booked, Entry):
        booked.reason = reason
    return booked


def _book(
    card: Card,
    type_: str,
    stamps: int,
    happened_at: datetime,
    at: datetime,
    explained: Mapping[str, Any],
) -> Entry | Refusal:
    refusal = _beyond(card, stamps)
    if refusal is not None:
        return refusal
    card.stamps += stamps
    card.reshaped = True
    entry = book(card, type_, 0, happened_at, at, explained)
    entry.stamps = stamps
    return entry


def _beyond(card: Card, stamps: int) -> Refusal | None:
    if card.stamps + stamps < 0:
        return Refusal(
            "insufficient_stamps", f"card {card.number} has {card.stamps} stamps, not {-stamps}"
        )
    if card.stamps + stamps > MAX_BALANCE:
        return Refusal("balance_limit", f"a card holds at most {MAX_BALANCE} stamps")
    return None
