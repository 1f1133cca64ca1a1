"""SQL that gives a card another number."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def lock(tx: Tx, merchant_id: int, number: str) -> Any | None:
    """The card with this number, locked: id and status; None if there is none."""
    return tx.execute(
        text(
            "SELECT id, status FROM cards WHERE merchant_id = :merchant_id AND number = :number"
            " FOR NO KEY UPDATE"
        ),
        {"merchant_id": merchant_id, "number": number},
    ).one_or_none()


def rename(tx: Tx, card_id: int, merchant_id: int, number: str) -> bool:
    """Give a locked card another number; False if another card has it."""
    done = tx.execute(
        text(
            """
            UPDATE cards SET number = :number WHERE id = :id AND NOT EXISTS (
                SELECT FROM cards WHERE merchant_id = :merchant_id AND number = :number)
            """
        ),
        {"id": card_id, "merchant_id": merchant_id, "number": number},
    )
    return done.rowcount == 1


def given_for(tx: Tx, merchant_id: int, number: str) -> str | None:
    """The number that a lost card was given in the place of ``number`` last, if its card still has it."""
    given: str | None = tx.execute(
        text(
            """
            SELECT c.number FROM audit_entries a
            JOIN cards c ON c.merchant_id = a.merchant_id AND c.number = a.after ->> 'number'
                 AND CAST(c.id AS text) = a.subject_id
            WHERE a.action = 'card.replaced' AND a.merchant_id = :merchant_id AND a.before ->> 'number' = :number
            ORDER BY a.id DESC LIMIT 1
            """
        ),
        {"merchant_id": merchant_id, "number": number},
    ).scalar_one_or_none()
    return given


def statuses(tx: Tx, merchant_id: int, numbers: list[str]) -> dict[str, str]:
    """The status of each card that exists, by number; 'merged' for one that leads to another."""
    rows = tx.execute(
        text(
            "SELECT number, CASE WHEN merged_into_id IS NULL THEN status ELSE 'merged' END AS status FROM cards WHERE merchant_id = :merchant_id AND number = ANY(:numbers)"
        ),
        {"merchant_id": merchant_id, "numbers": numbers},
    )
    return {row.number: row.status for row in rows}
