"""Restoring points that expired, as an operator decides: linked to the expiry, never more than it took.

>>> from datetime import UTC, datetime
>>> from domain.loyalty.rules.cards import Card
>>> from domain.loyalty.rules.programs import Program
>>> program = Program(id=1, merchant_id=1, key="beans", zone="UTC", currency="eur", earn_points=1,
...     earn_per_amount=100)
>>> at = datetime(2026, 3, 10, tzinfo=UTC)
>>> card = Card(id=1, merchant_id=1, program=program, number="C1", customer_id="ada",
...     last_activity_at=at, lots=[])
>>> spring, autumn = Expired(1, 1, 3, 40), Expired(2, 1, 5, 60)
>>> until = datetime(2026, 4, 10, tzinfo=UTC)
>>> [(entry.points, entry.original.id) for entry in restore(card, [spring, autumn], 70, until, "ill", at)]
[(60, 2), (10, 1)]
>>> restore(card, [], 70, until, "ill", at).reason
'nothing_expired'
>>> restore(card, [spring], 41, until, "ill", at).reason
'restore_exceeds_expired'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.loyalty.rules.cards import (
    Card,
    Entry,
    Original,
    arm,
    balance_limit,
    book,
    note_activity,
    pay_debts,
)
from domain.loyalty.rules.lots import Lot
from domain.loyalty.rules.programs import MAX_BALANCE, Refusal


@dataclass(frozen=True, slots=True)
class Expired:
    """An expiry of the card, or of one that was merged into it: its row's id, card and sequence number, and
    what of its points was not restored yet."""

    id: int
    card_id: int
    seq: int
    left: int


def restore(
    card: Card,
    expired: Sequence[Expired],
    points: int | None,
    until: datetime,
    reason: str,
    at: datetime,
) -> list[Entry] | Refusal:
    """Give back ``points`` of ``expired``, the last first, or all of them: each as a lot that lives ``until``.

    Like any credit it pays what the card owes, and starts a period of inactivity where none runs.
    """
    there = sum(one.left for one in expired)
    if there == 0:
        return Refusal("nothing_expired", f"card {card.number} has no expired points to restore")
    missing = there if points is None else points
    if missing > there:
        return Refusal("restore_exceeds_expired", f"{there} expired points are left to restore")
    if card.balance + missing > MAX_BALANCE:
        return balance_limit()
    entries = []
    for one in sorted(expired, key=lambda one: one.id, reverse=True):
        part = min(one.left, missing)
        if part:
            missing -= part
            entries.append(_give_back(card, one, part, until, reason, at))
    return entries


def _give_back(
    card: Card, expired: Expired, points: int, until: datetime, reason: str, at: datetime
) -> Entry:
    assert card.lots is not None, "lots are loaded for every card with a restore"
    explained = {"rule": "restore", "points": points, "expired": expired.left}
    entry = book(card, "points_adjustment", points, at, at, explained)
    entry.reason = reason
    entry.original = Original(
        expired.card_id, "points_expired", -expired.left, 0, at, stored_id=expired.id
    )
    entry.lot = Lot(points, points, occurred_at=at, available_at=at, expires_at=until)
    card.lots.append(entry.lot)
    if card.debt:
        entry.repaid = pay_debts(card, [entry.lot])
    note_activity(card, "points_adjustment", at)
    arm(card, [entry.lot])
    return entry
