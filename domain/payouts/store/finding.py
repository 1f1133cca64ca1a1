"""SQL by which one search box finds payouts and payees, and by which a page tells what needs a person."""

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

FOUND_MAX: Final = 20


def by_number(tx: Tx, payout_id: int) -> Any:
    """(merchant, id, user_id, state) of a payout of any merchant, or None."""
    return tx.execute(
        text(
            """
            SELECT m.key AS merchant, p.id, p.user_id, p.state FROM payouts p
            JOIN merchants m ON m.id = p.merchant_id WHERE p.id = :id
            """
        ),
        {"id": payout_id},
    ).one_or_none()


def by_external_id(tx: Tx, external_id: str) -> list[Any]:
    """(merchant, id, user_id, state) of payouts whose transfer has this id at the gateway."""
    return list(
        tx.execute(
            text(
                """
                WITH accounts AS (
                    SELECT DISTINCT platform_account FROM gateway_accounts
                    WHERE platform_account IS NOT NULL
                )
                SELECT DISTINCT m.key AS merchant, p.id, p.user_id, p.state
                FROM accounts
                JOIN payout_attempts a ON a.platform_account = accounts.platform_account
                                       AND a.external_id = :external_id
                JOIN payouts p ON p.id = a.payout_id JOIN merchants m ON m.id = p.merchant_id
                ORDER BY p.id DESC LIMIT :limit
                """
            ),
            {"external_id": external_id, "limit": FOUND_MAX},
        )
    )


def payees(tx: Tx, user_or_account: str) -> list[Any]:
    """(merchant, user_id, name, method) of payees of this user id, or paid to this account."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.key AS merchant, y.user_id, y.name, y.method
                FROM payees y JOIN merchants m ON m.id = y.merchant_id WHERE y.account = :wanted
                UNION
                SELECT m.key, y.user_id, y.name, y.method
                FROM merchants m JOIN payees y ON y.merchant_id = m.id AND y.user_id = :wanted
                ORDER BY 1, 2 LIMIT :limit
                """
            ),
            {"wanted": user_or_account, "limit": FOUND_MAX},
        )
    )


def needing_a_person(tx: Tx, at_most: int) -> dict[str, int]:
    """What of payouts waits for a person, by kind, each counted up to ``at_most``."""
    return {row.kind: row.number for row in tx.execute(_NEEDING, {"at_most": at_most})}


_NEEDING = text(
    """
    SELECT 'approvals' AS kind, count(*) AS number FROM (
        SELECT FROM payout_runs WHERE state = 'pending_approval' LIMIT :at_most) a
    UNION ALL
    SELECT 'unknown', count(*) FROM (
        SELECT FROM payout_attempts WHERE state = 'unknown' LIMIT :at_most) u
    UNION ALL
    SELECT 'failed', count(*) FROM (
        SELECT FROM payouts WHERE state NOT IN ('paid', 'canceled', 'reversed') AND state = 'failed'
        LIMIT :at_most) f
    UNION ALL
    SELECT 'frozen', count(*) FROM (
        SELECT FROM payouts WHERE state NOT IN ('paid', 'canceled', 'reversed')
        AND frozen_reason IS NOT NULL LIMIT :at_most) z
    UNION ALL
    SELECT 'differences', count(*) FROM (
        SELECT FROM payout_differences WHERE state = 'open' LIMIT :at_most) d
    UNION ALL
    SELECT 'reversals', count(*) FROM (
        SELECT FROM payout_reversals WHERE decision IS NULL LIMIT :at_most) r
    UNION ALL
    SELECT 'adjustments', count(*) FROM (
        SELECT FROM adjustments WHERE state = 'proposed' LIMIT :at_most) j
    """
)


def adjustments(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's adjustments that wait for a second person, oldest first."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, user_id, amount, currency, reason, proposed_by, created_at FROM adjustments
                WHERE merchant_id = :merchant_id AND state = 'proposed' ORDER BY id LIMIT 100
                """
            ),
            {"merchant_id": merchant_id},
        )
    )


def open_money(tx: Tx, at_most: int) -> list[Any]:
    """(merchant, currency, state, payouts, amount) of payouts that are not settled, as the index has them."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.key AS merchant, o.currency, o.state, o.payouts, o.amount FROM (
                    SELECT merchant_id, currency, state, count(*) AS payouts, sum(amount)::bigint AS amount
                    FROM (SELECT merchant_id, currency, state, amount FROM payouts
                          WHERE state NOT IN ('paid', 'canceled', 'reversed') LIMIT :at_most) p
                    GROUP BY 1, 2, 3) o
                JOIN merchants m ON m.id = o.merchant_id ORDER BY 1, 2, 3
                """
            ),
            {"at_most": at_most},
        )
    )


def last_runs(tx: Tx, limit: int) -> list[Any]:
    """The newest runs of all merchants."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.key AS merchant, r.id, r.name, r.state, r.as_of, r.result, r.created_at
                FROM payout_runs r JOIN merchants m ON m.id = r.merchant_id
                ORDER BY r.id DESC LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )
