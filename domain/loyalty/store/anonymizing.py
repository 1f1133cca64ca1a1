"""SQL that takes personal data out of a card and its history."""

from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx

# The customer's card, and those that are one with it by a merge: they are one person's.
_OF_CUSTOMER = text(
    """
    SELECT c.id, c.number, c.customer_id FROM cards c
    WHERE c.anonymized_at IS NULL AND c.id = ANY(ARRAY(
        SELECT o.id FROM (
            SELECT coalesce(merged_into_id, id) AS id FROM cards
            WHERE merchant_id = :merchant_id AND customer_id = :customer_id
        ) survivor
        CROSS JOIN LATERAL (
            SELECT survivor.id UNION ALL SELECT id FROM cards WHERE merged_into_id = survivor.id
        ) o
    ))
    ORDER BY c.id FOR NO KEY UPDATE
    """
)

_FORGET = text(
    "UPDATE cards SET customer_id = 'anonymized-' || id, anonymized_at = :now WHERE id = ANY(:ids)"
)

_EMPTY = text(
    """
    UPDATE loyalty_transactions SET ip_address = NULL, user_agent = NULL, notes = NULL
    WHERE card_id = :card_id AND num_nonnulls(ip_address, user_agent, notes) > 0
    """
)

_EVENTS = text(
    """
    SELECT inbox_id FROM loyalty_transactions WHERE card_id = :card_id AND inbox_id IS NOT NULL
    UNION SELECT inbox_id FROM loyalty_refunds WHERE card_id = :card_id
    UNION SELECT inbox_id FROM point_holds WHERE card_id = :card_id
    UNION SELECT closed_inbox_id FROM point_holds WHERE card_id = :card_id AND closed_inbox_id IS NOT NULL
    """
)


def forget(tx: Tx, merchant_id: int, customer_id: str, now: datetime) -> list[Any]:
    """Take the customer off their card, and off those that were merged with it: id, number and former
    customer_id of each, locked; none if there is no such card."""
    found = list(tx.execute(_OF_CUSTOMER, {"merchant_id": merchant_id, "customer_id": customer_id}))
    if found:
        tx.execute(_FORGET, {"ids": [row.id for row in found], "now": now})
    return found


def empty(tx: Tx, card_id: int) -> list[int]:
    """Take personal data out of a forgotten card's history; returns the inbox ids of its events."""
    tx.execute(_EMPTY, {"card_id": card_id})
    return list(tx.execute(_EVENTS, {"card_id": card_id}).scalars())
