"""SQL of rearming: what the database holds for what a gateway shows, and where it stopped knowing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def accounts(tx: Tx) -> list[Any]:
    """Where money may have been sent: merchants with each method that they have a key for, or payees of;
    the key may have been set in the time that was forgotten."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.id AS merchant_id, m.key AS merchant, u.method FROM (
                    SELECT merchant_id, method FROM gateway_accounts WHERE retired_at IS NULL
                    UNION SELECT merchant_id, method FROM payees
                    UNION SELECT merchant_id, method FROM payout_stops
                    WHERE kind = 'failover' AND lifted_at IS NULL AND merchant_id IS NOT NULL
                ) u JOIN merchants m ON m.id = u.merchant_id ORDER BY m.key, u.method
                """
            )
        )
    )


def newest_attempt_at(tx: Tx) -> datetime | None:
    """When the newest attempt was made (real time); None if there is none."""
    at: datetime | None = tx.execute(text("SELECT max(created_at) FROM payout_attempts")).scalar()
    return at


def compare_from(tx: Tx, stop_id: int, moment: datetime) -> None:
    """Say from when on the books have to be matched before a stop may be lifted."""
    tx.execute(
        text("UPDATE payout_stops SET compare_from = :moment WHERE id = :id"),
        {"id": stop_id, "moment": moment},
    )


def standing(tx: Tx, method: str, payout_id: int, key: str | None) -> Any:
    """A payout beside its attempt of ``key``, its live attempt and its last number; or None.

    Read under the payout's lock, it stays.
    """
    return tx.execute(
        text(
            """
            SELECT p.id, p.merchant_id, p.state, p.frozen_reason, p.amount, p.currency, p.destination,
                   a.id AS attempt_id, a.state AS attempt, a.external_id, l.state AS live,
                   (SELECT coalesce(max(n), 0) FROM payout_attempts
                    WHERE payout_id = p.id AND leg = 'transfer') AS last_n
            FROM payouts p
            LEFT JOIN payout_attempts a ON a.payout_id = p.id AND a.idempotency_key = :key
            LEFT JOIN payout_attempts l ON l.payout_id = p.id AND l.leg = 'transfer'
                 AND l.state NOT IN ('failed', 'abandoned', 'reversed')
            WHERE p.id = :id AND p.method = :method
            """
        ),
        {"id": payout_id, "method": method, "key": key},
    ).one_or_none()


def explained(tx: Tx, merchant_id: int, external_ids: Sequence[str]) -> set[str]:
    """Those transfers about which a person has resolved the difference."""
    rows = tx.execute(
        text(
            """
            SELECT external_id FROM payout_differences
            WHERE merchant_id = :merchant_id AND external_id = ANY(:ids) AND state = 'resolved'
              AND resolved_by <> 'reconciliation'
            """
        ),
        {"merchant_id": merchant_id, "ids": list(external_ids)},
    )
    return set(rows.scalars())


def block_account(tx: Tx, merchant_id: int, method: str, account: str, reason: str) -> list[str]:
    """Block the payees of an account whom nobody blocks; returns their user ids."""
    return list(
        tx.execute(
            text(
                """
                WITH found AS (
                    SELECT id FROM payees
                    WHERE merchant_id = :merchant_id AND method = :method AND account = :account
                    ORDER BY id FOR NO KEY UPDATE
                )
                UPDATE payees p SET blocked_reason = :reason, blocked_by = 'operator',
                       updated_at = clock_timestamp()
                FROM found
                WHERE p.id = found.id
                      AND (p.blocked_reason IS NULL OR p.blocked_by IS DISTINCT FROM 'operator')
                RETURNING p.user_id
                """
            ),
            {"merchant_id": merchant_id, "method": method, "account": account, "reason": reason},
        ).scalars()
    )


def has_payee(tx: Tx, method: str, account: str) -> bool:
    """Whether anybody is paid to this account now, of whichever merchant: merchants may share the gateway's
    account whose books are looked at."""
    found: bool = tx.execute(
        text(
            """
            SELECT EXISTS (SELECT FROM payees
                           WHERE method = :method AND account = :account)
            """
        ),
        {"method": method, "account": account},
    ).scalar_one()
    return found


def skip_numbers(tx: Tx, highest: int, most: int) -> int:
    """Let no payout get a number up to ``highest``, at most ``most`` of them; returns how many are skipped.

    A number that was given out before names transfers at the gateway that are another payout's.
    """
    skipped: int = tx.execute(
        text(
            """
            SELECT count(nextval('payouts_id_seq'))
            FROM generate_series(1, least(:most, :highest - (SELECT last_value FROM payouts_id_seq)))
            """
        ),
        {"highest": highest, "most": most},
    ).scalar_one()
    return skipped


def stops(tx: Tx) -> list[Any]:
    """The stops after a failover that are in force, locked: id, reach, and from when on to match."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, merchant_id, method, reason, compare_from FROM payout_stops
                WHERE kind = 'failover' AND lifted_at IS NULL ORDER BY id FOR NO KEY UPDATE
                """
            )
        )
    )


def on_connected_accounts(tx: Tx, merchant_id: int, method: str) -> list[Any]:
    """Payouts with a second leg whose transfer was made, which is not all back, and which nobody has
    stopped: id and account, by account. What the bank has for so long that nobody asks is left out."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.destination FROM payouts p
                WHERE p.merchant_id = :merchant_id AND p.method = :method AND p.bank_leg
                      AND p.frozen_reason IS NULL
                      AND (p.state IN ('sending', 'unknown', 'in_transit', 'returned')
                           OR p.state = 'paid' AND p.look_at IS NOT NULL)
                      AND EXISTS (SELECT FROM payout_attempts a WHERE a.payout_id = p.id
                                  AND a.leg = 'transfer' AND a.state = 'succeeded')
                ORDER BY p.destination, p.id
                """
            ),
            {"merchant_id": merchant_id, "method": method},
        )
    )


def bank_standing(tx: Tx, payout_id: int) -> Any:
    """A payout beside its bank attempts: their states by key, the last number, the live one's state.

    Read under the payout's lock, it stays.
    """
    return tx.execute(
        text(
            """
            SELECT p.id, p.state, p.frozen_reason, p.amount, p.reversed_amount, p.currency, p.destination,
                   b.known, coalesce(b.last_n, 0) AS last_n, b.live
            FROM payouts p
            CROSS JOIN LATERAL (
                SELECT jsonb_object_agg(a.idempotency_key, a.state) AS known, max(a.n) AS last_n,
                       max(a.state) FILTER (WHERE a.state NOT IN ('failed', 'abandoned', 'reversed')) AS live
                FROM payout_attempts a WHERE a.payout_id = p.id AND a.leg = 'bank'
            ) b
            WHERE p.id = :id
            """
        ),
        {"id": payout_id},
    ).one()
