"""SQL that looks over all payouts: totals, and what must never be."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def totals(tx: Tx, merchant_id: int | None) -> list[Any]:
    """Number and sum (minor units) of payouts by merchant, state and currency."""
    return list(
        tx.execute(
            text(
                """
                SELECT merchant_id, state, currency, count(*) AS payouts, sum(amount) AS amount
                FROM payouts WHERE CAST(:merchant_id AS bigint) IS NULL OR merchant_id = :merchant_id
                GROUP BY 1, 2, 3 ORDER BY 1, 3, 2
                """
            ),
            {"merchant_id": merchant_id},
        )
    )


def wrong_sums(tx: Tx, limit: int) -> list[Any]:
    """Payouts whose amount or number of members is not what is in them; canceled ones hold nothing."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.state, p.amount, p.members, coalesce(sum(e.amount), 0) AS summed,
                       count(e.id) AS counted
                FROM payouts p LEFT JOIN earnings e ON e.payout_id = p.id
                WHERE p.release_confirmed_by IS NULL
                GROUP BY p.id
                HAVING coalesce(sum(e.amount), 0) <> CASE WHEN p.state = 'canceled' THEN 0 ELSE p.amount END
                       OR count(e.id) <> CASE WHEN p.state = 'canceled' THEN 0 ELSE p.members END
                LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )


def live_twice(tx: Tx, limit: int) -> list[Any]:
    """Legs with more than one attempt that has paid or may have."""
    return list(
        tx.execute(
            text(
                """
                SELECT payout_id, leg, count(*) AS attempts FROM payout_attempts
                WHERE state NOT IN ('failed', 'abandoned', 'reversed')
                GROUP BY 1, 2 HAVING count(*) > 1 LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )


def paid_without_name(tx: Tx, limit: int) -> list[Any]:
    """Paid payouts that do not name the gateway's transaction, or no succeeded attempt beside them."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id FROM payouts p
                WHERE p.state = 'paid' AND (p.external_transaction_id IS NULL OR NOT EXISTS (
                    SELECT FROM payout_attempts a
                    WHERE a.payout_id = p.id AND a.state = 'succeeded'
                          AND a.external_id = p.external_transaction_id))
                LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )


def out_of_step(tx: Tx, limit: int) -> list[Any]:
    """Payouts whose state and attempts tell different stories."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.state, a.state AS attempt_state
                FROM payouts p LEFT JOIN payout_attempts a ON a.payout_id = p.id AND a.leg = 'transfer'
                     AND a.state NOT IN ('failed', 'abandoned', 'reversed')
                WHERE NOT p.bank_leg AND (p.state, coalesce(a.state, '')) NOT IN (
                    ('draft', ''), ('pending_approval', ''), ('approved', ''), ('canceled', ''), ('reversed', ''),
                    ('failed', ''), ('sending', 'sending'), ('unknown', 'unknown'), ('paid', 'succeeded'))
                    AND p.state NOT IN ('in_transit', 'returned')
                    AND p.frozen_reason IS NULL
                LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )


def legs_out_of_step(tx: Tx, limit: int) -> list[Any]:
    """Payouts with a second leg whose state and attempts, of both legs, tell different stories."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.state, a.state AS transfer_state, b.state AS bank_state
                FROM payouts p
                LEFT JOIN payout_attempts a ON a.payout_id = p.id AND a.leg = 'transfer'
                     AND a.state NOT IN ('failed', 'abandoned', 'reversed')
                LEFT JOIN payout_attempts b ON b.payout_id = p.id AND b.leg = 'bank'
                     AND b.state NOT IN ('failed', 'abandoned', 'reversed')
                WHERE p.bank_leg AND p.frozen_reason IS NULL
                      AND (p.state <> 'paid' OR a.platform_account IS DISTINCT FROM 'outside')
                      AND (p.state, coalesce(a.state, ''), coalesce(b.state, '')) NOT IN (
                    ('draft', '', ''), ('pending_approval', '', ''), ('approved', '', ''),
                    ('canceled', '', ''), ('failed', '', ''),
                    ('sending', 'sending', ''), ('unknown', 'unknown', ''),
                    ('in_transit', 'succeeded', ''), ('in_transit', 'succeeded', 'sending'),
                    ('in_transit', 'succeeded', 'succeeded'), ('sending', 'succeeded', 'sending'),
                    ('unknown', 'succeeded', 'unknown'), ('returned', 'succeeded', ''),
                    ('paid', 'succeeded', 'succeeded'), ('reversed', '', ''), ('reversed', '', 'succeeded'))
                LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )


def booked(tx: Tx) -> list[Any]:
    """Balance (credits minus debits) of the accounts that payouts pass through."""
    return list(
        tx.execute(
            text(
                """
                SELECT a.merchant_id, a.currency, a.kind, a.owner, coalesce(sum(m.amount), 0) AS balance
                FROM ledger_accounts a LEFT JOIN LATERAL (
                    SELECT amount FROM ledger_transfers WHERE credit_account_id = a.id
                    UNION ALL
                    SELECT -amount FROM ledger_transfers WHERE debit_account_id = a.id
                ) m ON true
                WHERE a.kind IN ('payouts_reserved', 'payouts_in_flight', 'gateway_clearing', 'payouts_reversed')
                GROUP BY a.id
                """
            )
        )
    )


def standing(tx: Tx) -> list[Any]:
    """Sum of payouts, and of what came back of them, by merchant, currency, method, state and whether
    they have a second leg.

    What was paid outside is of the method `outside`.
    """
    return list(
        tx.execute(
            text(
                """
                SELECT p.merchant_id, p.currency,
                       CASE WHEN o.id IS NULL THEN p.method ELSE 'outside' END AS method, p.state,
                       p.bank_leg, sum(p.amount) AS amount, sum(p.reversed_amount) AS reversed
                FROM payouts p
                LEFT JOIN outside_payments o ON o.payout_id = p.id AND o.used_at IS NOT NULL
                GROUP BY 1, 2, 3, 4, 5
                """
            )
        )
    )


def accounts_in_use(tx: Tx, merchant_id: int, method: str) -> list[str]:
    """The gateway's accounts that a merchant's attempts went through and whose money is on its way or
    may be, or whose second leg is to follow, by name."""
    rows = tx.execute(
        text(
            """
            SELECT DISTINCT a.platform_account FROM payout_attempts a JOIN payouts p ON p.id = a.payout_id
            WHERE (a.state IN ('created', 'sending', 'unknown')
                   OR (a.state = 'succeeded' AND p.state IN ('in_transit', 'returned')
                       AND (p.method = 'wise' OR p.bank_leg)))
                  AND p.merchant_id = :merchant_id AND p.method = :method
            ORDER BY 1
            """
        ),
        {"merchant_id": merchant_id, "method": method},
    )
    return [row.platform_account for row in rows]
