"""Look a card up, and what an event did to it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.db import Tx
from domain.loyalty.rules.lots import Lot
from domain.loyalty.rules.programs import MAX_BALANCE
from domain.loyalty.rules.reporting import EVERYTHING, Only
from domain.loyalty.rules.standing import Standing, standing
from domain.loyalty.store import views


@dataclass(frozen=True, slots=True)
class CardView:
    """A card as it is now. ``debt``: points taken back that were already spent; ``merged``: numbers of cards
    that were merged into it."""

    card: str
    customer_id: str
    program: str
    status: str
    points: Standing
    debt: int
    stamps: int
    last_activity_at: datetime
    created_at: datetime
    merged: tuple[str, ...] = ()
    anonymized: bool = False


def card(tx: Tx, merchant_id: int, number: str, now: datetime) -> CardView | None:
    """A merchant's card at business time ``now``, or None. What expired by then is not counted, whether
    the sweep has booked it or not. The number of a card that was merged gives the survivor."""
    rows = views.card(tx, merchant_id, number, now)
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
        standing(
            first.points_balance,
            lots,
            first.inactivity_deadline,
            now,
            expired_through=first.expired_through,
            debt=first.points_debt,
        ),
        first.points_debt,
        first.stamps_balance,
        first.last_activity_at,
        first.created_at,
        tuple(first.merged),
        first.anonymized,
    )


def history(
    tx: Tx,
    merchant_id: int,
    number: str,
    *,
    before: int | None = None,
    limit: int = 100,
    only: Only = EVERYTHING,
) -> list[Any] | None:
    """A card's rows, newest first, with why each is as it is; None if there is no such card.

    ``before`` is the sequence number (``seq``) of the last row of the page before; ``only`` chooses rows.
    """
    first = MAX_BALANCE if before is None else before
    rows = views.history(tx, merchant_id, number, first, limit, only)
    # Every card has a row: the one that created it.
    if not rows and not views.history(tx, merchant_id, number, MAX_BALANCE, 1):
        return None
    return rows


def transactions_of(tx: Tx, inbox_id: int) -> list[Any]:
    """The transactions that an event made: id, card, type, points and stamps, the balances
    of both after it, transaction_at."""
    return views.transactions_of(tx, inbox_id)
