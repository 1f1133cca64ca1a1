"""SQL of merging two cards."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx

_LOCK = text(
    """
    SELECT id, program_id, number, customer_id, status, merged_into_id FROM cards
    WHERE merchant_id = :merchant_id AND number = ANY(:numbers)
    ORDER BY id FOR NO KEY UPDATE
    """
)

# The card, then those that were merged into it before, which follow: a survivor is never merged itself.
_REDIRECT = text("UPDATE cards SET merged_into_id = :into WHERE id = :card")
_FOLLOW = text("UPDATE cards SET merged_into_id = :into WHERE merged_into_id = :card")


def lock(tx: Tx, merchant_id: int, numbers: list[str]) -> dict[str, Any]:
    """Lock the cards of these numbers in id order, by number, without following one that was merged."""
    rows = tx.execute(_LOCK, {"merchant_id": merchant_id, "numbers": numbers})
    return {row.number: row for row in rows}


def number_of(tx: Tx, card_id: int) -> str:
    """The number of a card."""
    number: str = tx.execute(
        text("SELECT number FROM cards WHERE id = :id"), {"id": card_id}
    ).scalar_one()
    return number


def redirect(tx: Tx, card_id: int, into: int) -> None:
    """Have a locked card lead to ``into``, and its lots and open holds move there."""
    ids = {"card": card_id, "into": into}
    tx.execute(_REDIRECT, ids)
    tx.execute(_FOLLOW, ids)
    tx.execute(text("UPDATE point_lots SET card_id = :into WHERE card_id = :card"), ids)
    tx.execute(
        text(
            "UPDATE point_holds SET card_id = :into WHERE card_id = :card AND status = 'open'",
        ),
        ids,
    )


def keep(tx: Tx, **values: Any) -> None:
    """Keep what a merge moved."""
    tx.execute(
        text(
            """
            INSERT INTO card_merges (card_id, merchant_id, into_card_id, points, debt, stamps, holds,
                                     debit_transaction_id, credit_transaction_id, reason, merged_at)
            VALUES (:card_id, :merchant_id, :into_card_id, :points, :debt, :stamps, :holds, :debit, :credit,
                    :reason, :merged_at)
            """
        ),
        values,
    )


def merge_of(tx: Tx, card_id: int) -> Any:
    """What the merge of a card moved: points, debt, stamps, holds, merged_at."""
    return tx.execute(
        text(
            "SELECT points, debt, stamps, holds, merged_at FROM card_merges WHERE card_id = :card_id"
        ),
        {"card_id": card_id},
    ).one()


def balance_of(tx: Tx, card_id: int) -> int:
    """The booked balance of a card."""
    balance: int = tx.execute(
        text("SELECT points_balance FROM cards WHERE id = :id"), {"id": card_id}
    ).scalar_one()
    return balance
