"""Look a card up, and what an event did to it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.db import Tx
from domain.loyalty.rules.lots import Lot
from domain.loyalty.rules.standing import Standing, standing
from domain.loyalty.store import views


@dataclass(frozen=True, slots=True)
class CardView:
    """A card as it is now. ``debt``: points taken back that were already spent."""

    card: str
    customer_id: str
    program: str
    status: str
    points: Standing
    debt: int
    stamps: int
    last_activity_at: datetime
    created_at: datetime


def card(tx: Tx, merchant_id: int, number: str, now: datetime) -> CardView | None:
    """A merchant's card at business time ``now``, or None. What expired by then is not counted, whether
    the sweep has booked it or not."""
    rows = views.card(tx, merchant_id, number)
    if not rows:
        return None
    first = rows[0]
    lots = [
        Lot(row.points, row.remaining, row.occurred_at, row.available_at, row.expires_at, row.held)
        for row in rows
        if row.points is not None
    ]
    return CardView(
        first.number,
        first.customer_id,
        first.program,
        first.status,
        standing(first.points_balance, lots, first.inactivity_deadline, now),
        first.points_debt,
        first.stamps_balance,
        first.last_activity_at,
        first.created_at,
    )


def transactions_of(tx: Tx, inbox_id: int) -> list[Any]:
    """The transactions that an event made: id, card, type, points and stamps, the balances
    of both after it, transaction_at."""
    return views.transactions_of(tx, inbox_id)
