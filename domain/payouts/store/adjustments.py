"""SQL of adjustments."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def propose(tx: Tx, **adjustment: Any) -> int:
    """Write a proposal; returns its number."""
    made: int = tx.execute(
        text(
            """
            INSERT INTO adjustments (merchant_id, user_id, currency, amount, reason, adjustment_limit, proposed_by)
            VALUES (:merchant_id, :user_id, :currency, :amount, :reason, :limit, :by) RETURNING id
            """
        ),
        adjustment,
    ).scalar_one()
    return made


def adjusted_alone(tx: Tx, merchant_id: int, person: str, currency: str) -> int:
    """What a person has booked within a week without a second one: minor units, whatever the sign."""
    return int(
        tx.execute(
            text("SELECT adjusted_alone(:merchant_id, :person, :currency)"),
            {"merchant_id": merchant_id, "person": person, "currency": currency},
        ).scalar_one()
    )


def lock_proposed(tx: Tx, merchant_id: int, number: int) -> Any:
    """A proposal that nobody has decided on, locked; or None."""
    return tx.execute(
        text(
            """
            SELECT * FROM adjustments WHERE id = :id AND merchant_id = :merchant_id AND state = 'proposed'
            FOR NO KEY UPDATE
            """
        ),
        {"id": number, "merchant_id": merchant_id},
    ).one_or_none()


def decide(tx: Tx, number: int, state: str, agreed_by: str | None) -> None:
    """Book or reject a proposal that is locked; the database refuses the proposer's own agreement."""
    tx.execute(
        text(
            """
            UPDATE adjustments SET state = :state, agreed_by = :by, decided_at = clock_timestamp()
            WHERE id = :id AND state = 'proposed'
            """
        ),
        {"id": number, "state": state, "by": agreed_by},
    )
