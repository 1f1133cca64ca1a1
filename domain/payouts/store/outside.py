"""SQL of payments outside."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def propose(
    tx: Tx, *, merchant_id: int, payout_id: int, reference: str, evidence: str, by: str
) -> None:
    """Write who says it, under what reference; the database takes one open proposal of a payout."""
    tx.execute(
        text(
            """
            INSERT INTO outside_payments (merchant_id, payout_id, reference, evidence, proposed_by)
            VALUES (:merchant_id, :payout_id, :reference, :evidence, :by)
            """
        ),
        {
            "merchant_id": merchant_id,
            "payout_id": payout_id,
            "reference": reference,
            "evidence": evidence,
            "by": by,
        },
    )


def proposal(tx: Tx, payout_id: int) -> Any:
    """The proposal that waits for a second person, or None. The caller holds the payout's lock."""
    return tx.execute(
        text(
            """
            SELECT id, reference, evidence, proposed_by FROM outside_payments
            WHERE payout_id = :payout_id AND used_at IS NULL AND withdrawn_by IS NULL
            """
        ),
        {"payout_id": payout_id},
    ).one_or_none()


def agree(tx: Tx, proposal_id: int, *, by: str) -> None:
    """Write who agrees; the database refuses the one who proposed."""
    tx.execute(
        text("UPDATE outside_payments SET agreed_by = :by WHERE id = :id"),
        {"id": proposal_id, "by": by},
    )


def withdraw(tx: Tx, proposal_id: int, *, by: str) -> None:
    """Write who took it back."""
    tx.execute(
        text("UPDATE outside_payments SET withdrawn_by = :by WHERE id = :id"),
        {"id": proposal_id, "by": by},
    )
