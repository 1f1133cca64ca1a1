"""SQL by which an attempt is given up."""

from sqlalchemy import text

from domain.db import Tx


def propose(tx: Tx, attempt_id: int, *, by: str, evidence: str) -> None:
    """Write who proposes it, and why; a new proposal replaces an older one."""
    tx.execute(
        text(
            """
            UPDATE payout_attempts SET abandon_proposed_by = :by, abandon_evidence = :evidence
            WHERE id = :id AND state = 'unknown'
            """
        ),
        {"id": attempt_id, "by": by, "evidence": evidence},
    )


def agree(tx: Tx, attempt_id: int, *, by: str) -> None:
    """Write who agrees; the database refuses the one who proposed."""
    tx.execute(
        text(
            "UPDATE payout_attempts SET abandon_agreed_by = :by WHERE id = :id AND state = 'unknown'"
        ),
        {"id": attempt_id, "by": by},
    )
