"""SQL of reversals: what came back, once each, and what becomes of it."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def attempt_of(tx: Tx, merchant_id: int, key: str) -> Any:
    """The attempt of a merchant that was sent under this key, or None."""
    return tx.execute(
        text(
            """
            SELECT id, payout_id, leg FROM payout_attempts
            WHERE merchant_id = :merchant_id AND idempotency_key = :key
            """
        ),
        {"merchant_id": merchant_id, "key": key},
    ).one_or_none()


def insert(tx: Tx, payout: Any, external_id: str, amount: int) -> int | None:
    """Keep a reversal; its id, or None if it was kept before."""
    made: int | None = tx.execute(
        text(
            """
            INSERT INTO payout_reversals (merchant_id, payout_id, currency, amount, external_id)
            SELECT :merchant_id, :payout_id, :currency, :amount, CAST(:external_id AS varchar)
            WHERE NOT EXISTS (SELECT FROM payout_reversals
                              WHERE merchant_id = :merchant_id AND external_id = CAST(:external_id AS varchar))
            RETURNING id
            """
        ),
        {
            "merchant_id": payout.merchant_id,
            "payout_id": payout.id,
            "currency": payout.currency,
            "amount": amount,
            "external_id": external_id,
        },
    ).scalar()
    return made


def came_back(tx: Tx, payout_id: int, amount: int, old: str, new: str) -> None:
    """Add to what came back of a payout (minor units), and move it; the database refuses more than it was."""
    moved = tx.execute(
        text(
            """
            UPDATE payouts SET reversed_amount = reversed_amount + :amount, state = :new,
                   updated_at = clock_timestamp(),
                   -- What is left goes on to the bank, and is asked about there, as before.
                   look_at = CASE WHEN bank_leg AND :old = :new THEN look_at END,
                   next_try_at = CASE WHEN bank_leg AND :old = :new THEN next_try_at END
            WHERE id = :id AND state = :old
            """
        ),
        {"id": payout_id, "amount": amount, "old": old, "new": new},
    )
    assert moved.rowcount == 1, f"payout {payout_id} was {old}"


def payout_of(tx: Tx, merchant_id: int, reversal_id: int) -> int | None:
    """The payout of a merchant's reversal, or None."""
    found: int | None = tx.execute(
        text(
            "SELECT payout_id FROM payout_reversals WHERE id = :id AND merchant_id = :merchant_id"
        ),
        {"id": reversal_id, "merchant_id": merchant_id},
    ).scalar()
    return found


def of_payout(tx: Tx, payout_id: int) -> list[Any]:
    """Reversals of a payout, whose lock the caller holds, oldest first."""
    return list(
        tx.execute(
            text("SELECT * FROM payout_reversals WHERE payout_id = :id ORDER BY id"),
            {"id": payout_id},
        )
    )


def decide(tx: Tx, reversal_id: int, decision: str, *, by: str, reason: str) -> None:
    """Say what becomes of a reversal; the database takes one answer."""
    tx.execute(
        text(
            """
            UPDATE payout_reversals SET decision = :decision, decided_by = :by, decision_reason = left(:reason, 500),
                   decided_at = clock_timestamp()
            WHERE id = :id
            """
        ),
        {"id": reversal_id, "decision": decision, "by": by, "reason": reason},
    )


def confirm_release(tx: Tx, payout_id: int, *, by: str) -> None:
    """Say who lets the earnings of a reversed payout go."""
    tx.execute(
        text(
            """
            UPDATE payouts SET release_confirmed_by = :by, updated_at = clock_timestamp() WHERE id = :id
            """
        ),
        {"id": payout_id, "by": by},
    )


def listing(tx: Tx, merchant_id: int, *, undecided: bool, limit: int) -> list[Any]:
    """A merchant's reversals with the payouts that they are of, newest first."""
    return list(
        tx.execute(
            text(
                """
                SELECT r.id, r.payout_id, p.user_id, r.amount, r.currency, p.state AS payout_state,
                       p.amount AS paid, r.external_id, r.decision, r.decided_by, r.decision_reason, r.created_at
                FROM payout_reversals r JOIN payouts p ON p.id = r.payout_id
                WHERE r.merchant_id = :merchant_id AND (NOT :undecided OR r.decision IS NULL)
                ORDER BY r.id DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "undecided": undecided, "limit": limit},
        )
    )


def undecided(tx: Tx) -> list[Any]:
    """Sum of what came back and nobody decided on, by merchant and currency."""
    return list(
        tx.execute(
            text(
                """
                SELECT merchant_id, currency, sum(amount) AS amount FROM payout_reversals
                WHERE decision IS NULL GROUP BY 1, 2
                """
            )
        )
    )


def wrong_sums(tx: Tx, limit: int) -> list[Any]:
    """Payouts whose reversed amount is not the sum of their reversals, or who are not reversed by it."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.state, p.amount, p.reversed_amount, coalesce(r.summed, 0) AS summed
                FROM payouts p LEFT JOIN (SELECT payout_id, sum(amount) AS summed FROM payout_reversals
                                          GROUP BY 1) r ON r.payout_id = p.id
                WHERE (p.reversed_amount > 0 OR r.summed IS NOT NULL OR p.state = 'reversed')
                      AND (p.reversed_amount <> coalesce(r.summed, 0)
                           OR (p.state = 'reversed') <> (p.reversed_amount = p.amount))
                LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )
