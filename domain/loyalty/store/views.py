"""SQL by which a card is looked up, without locks."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx

# One statement, so that the card and its lots are of the same moment.
_CARD = text(
    """
    SELECT c.number, c.customer_id, p.key AS program, c.status, c.points_balance, c.points_debt, c.stamps_balance,
           c.inactivity_deadline, c.last_activity_at, c.created_at,
           l.points, l.remaining, l.held, l.occurred_at, l.available_at, l.expires_at
    FROM cards c
    JOIN loyalty_programs p ON p.id = c.program_id
    LEFT JOIN point_lots l ON l.card_id = c.id AND l.remaining > 0
    WHERE c.merchant_id = :merchant_id AND c.number = :number
    """
)

_OF_EVENT = text(
    """
    SELECT t.id, c.number AS card, t.type, t.points_delta AS points, t.points_balance_after AS balance,
           t.stamps_delta AS stamps, t.stamps_balance_after AS stamps_balance, t.transaction_at
    FROM loyalty_transactions t JOIN cards c ON c.id = t.card_id
    WHERE t.inbox_id = :inbox_id ORDER BY t.id
    """
)


def card(tx: Tx, merchant_id: int, number: str) -> list[Any]:
    """A card with a row for each of its open lots (or one without a lot); no rows without a card."""
    return list(tx.execute(_CARD, {"merchant_id": merchant_id, "number": number}))


def transactions_of(tx: Tx, inbox_id: int) -> list[Any]:
    """The transactions that an event made, in order, each with the balance after it."""
    return list(tx.execute(_OF_EVENT, {"inbox_id": inbox_id}))
