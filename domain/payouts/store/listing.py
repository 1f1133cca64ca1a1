"""SQL by which people look payouts up."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def payouts(
    tx: Tx, merchant_id: int, *, user_id: str | None, state: str | None, limit: int
) -> list[Any]:
    """A merchant's payouts, newest first, of one user or state or of all, with the trackings inside."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.run_id, p.user_id, p.amount, p.currency, p.state AS status, p.method,
                       p.external_transaction_id, p.processed_at, p.failed_at, p.error_message, p.created_at,
                       coalesce(p.frozen_reason, p.parked_reason) AS waits_for,
                       (SELECT coalesce(array_agg(e.source_id ORDER BY e.id), '{}') FROM earnings e
                        WHERE e.payout_id = p.id AND e.source_kind = 'tracking') AS trackings
                FROM payouts p
                WHERE p.merchant_id = :merchant_id
                  AND (CAST(:user_id AS text) IS NULL OR p.user_id = :user_id)
                  AND (CAST(:state AS text) IS NULL OR p.state = :state)
                ORDER BY p.id DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "user_id": user_id, "state": state, "limit": limit},
        )
    )


def runs(tx: Tx, merchant_id: int, limit: int) -> list[Any]:
    """A merchant's runs, newest first."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, name, as_of, state, result, prepared_by, approved_by, approval_expires_at, created_at
                FROM payout_runs
                WHERE merchant_id = :merchant_id ORDER BY id DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "limit": limit},
        )
    )


def exclusions(tx: Tx, run_id: int, limit: int) -> list[Any]:
    """Whom a run left out, and why; amounts in minor units."""
    return list(
        tx.execute(
            text(
                """
                SELECT user_id, amount, currency, reason, detail FROM payout_exclusions
                WHERE run_id = :run_id ORDER BY account_id LIMIT :limit
                """
            ),
            {"run_id": run_id, "limit": limit},
        )
    )


def payees(tx: Tx, merchant_id: int, limit: int) -> list[Any]:
    """A merchant's payees with what is owed to each now (minor units, by currency)."""
    return list(
        tx.execute(
            text(
                """
                SELECT y.user_id, y.name, y.method, y.account, y.blocked_reason,
                       coalesce(b.owed, '{}'::jsonb) AS owed
                FROM payees y
                LEFT JOIN LATERAL (
                    SELECT jsonb_object_agg(a.currency, a.balance) AS owed FROM ledger_accounts a
                    WHERE a.merchant_id = y.merchant_id AND a.kind = 'payable' AND a.owner = y.user_id
                ) b ON true
                WHERE y.merchant_id = :merchant_id ORDER BY y.user_id LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "limit": limit},
        )
    )


def payee(tx: Tx, merchant_id: int, user_id: str) -> Any:
    """How one user is paid, or None."""
    return tx.execute(
        text(
            """
            SELECT user_id, name, method, account, blocked_reason FROM payees
            WHERE merchant_id = :merchant_id AND user_id = :user_id
            """
        ),
        {"merchant_id": merchant_id, "user_id": user_id},
    ).one_or_none()
