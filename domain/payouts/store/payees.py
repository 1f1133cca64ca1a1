"""SQL of payees."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.clock import business_now
from domain.db import Tx
from domain.payouts.store import destinations


@dataclass(frozen=True, slots=True)
class PayeeUpdate:
    """How a user is paid, as somebody said it at ``as_of``; ``account`` None: not known yet."""

    merchant_id: int
    user_id: str
    method: str
    as_of: datetime
    account: str | None = None
    name: str | None = None


def put(tx: Tx, updates: Sequence[PayeeUpdate]) -> set[tuple[int, str]]:
    """Write payees; returns the keys of those that changed: an older word changes nothing.

    One update for each payee. Those that exist are locked by ascending id before any is written. A
    destination that changed is noted, to look at who else is paid there.
    """
    columns = {
        "merchants": [u.merchant_id for u in updates],
        "users": [u.user_id for u in updates],
    }
    before = {
        (row.merchant_id, row.user_id): (row.method, row.account)
        for row in tx.execute(
            text(
                """
            SELECT p.id, p.merchant_id, p.user_id, p.method, p.account FROM payees p
            JOIN unnest(CAST(:merchants AS bigint[]), CAST(:users AS text[])) AS u (merchant_id, user_id)
                 USING (merchant_id, user_id)
            ORDER BY p.id FOR NO KEY UPDATE OF p
            """
            ),
            columns,
        )
    }
    rows = tx.execute(
        text(
            """
            INSERT INTO payees AS p (merchant_id, user_id, method, account, name, as_of, destination_since)
            SELECT u.*, CASE WHEN u.account IS NOT NULL THEN CAST(:now AS timestamptz) END
            FROM unnest(CAST(:merchants AS bigint[]), CAST(:users AS text[]), CAST(:methods AS text[]),
                                 CAST(:accounts AS text[]), CAST(:names AS text[]), CAST(:times AS timestamptz[]))
                     AS u (merchant_id, user_id, method, account, name, as_of)
            ORDER BY merchant_id, user_id
            ON CONFLICT (merchant_id, user_id) DO UPDATE
            SET method = excluded.method, account = excluded.account, as_of = excluded.as_of,
                destination_since = CASE WHEN (p.method, p.account) IS DISTINCT FROM (excluded.method, excluded.account)
                                         THEN excluded.destination_since ELSE p.destination_since END,
                name = coalesce(excluded.name, p.name), updated_at = clock_timestamp(),
                -- What the gateway said was about the account that it was.
                blocked_reason = CASE WHEN p.blocked_by = 'gateway' AND p.account IS DISTINCT FROM excluded.account
                                      THEN NULL ELSE p.blocked_reason END,
                blocked_by = CASE WHEN p.blocked_by = 'gateway' AND p.account IS DISTINCT FROM excluded.account
                                  THEN NULL ELSE p.blocked_by END
            WHERE p.as_of <= excluded.as_of
            RETURNING p.id, p.merchant_id, p.user_id, p.method, p.account
            """
        ),
        columns
        | {
            "methods": [u.method for u in updates],
            "accounts": [u.account for u in updates],
            "names": [u.name for u in updates],
            "times": [u.as_of for u in updates],
            # Not the word's own time: whoever changes a destination would choose when it cools off.
            "now": business_now(tx),
        },
    ).all()
    moved = [
        (row.id, row.merchant_id)
        for row in rows
        if row.account is not None
        and before.get((row.merchant_id, row.user_id)) != (row.method, row.account)
    ]
    if moved:
        destinations.changed(tx, moved)
    return {(row.merchant_id, row.user_id) for row in rows}


def unexplained_transfer(tx: Tx, merchant_id: int, user_id: str) -> str | None:
    """A transfer in the gateway's books that this installation made to a payee's account, that no attempt made
    and that nobody has explained; or None."""
    found: str | None = tx.execute(
        text(
            """
            SELECT d.external_id FROM payout_differences d
            JOIN gateway_transactions t ON t.merchant_id = d.merchant_id AND t.transfer_id = d.external_id
                 AND t.method = d.method AND t.type = 'transfer'
                 AND t.installation = (SELECT code FROM installation)
            JOIN payees y ON y.merchant_id = d.merchant_id AND y.method = d.method AND y.account = t.destination
            WHERE d.merchant_id = :merchant_id AND d.state = 'open' AND d.kind = 'missing_here'
                  AND y.user_id = :user_id
            ORDER BY d.id LIMIT 1
            """
        ),
        {"merchant_id": merchant_id, "user_id": user_id},
    ).scalar()
    return found


def block(tx: Tx, merchant_id: int, user_id: str, reason: str | None) -> bool:
    """Set an operator's block, or (with None) lift any; returns whether the payee exists."""
    return (
        tx.execute(
            text(
                """
                UPDATE payees SET blocked_reason = :reason, updated_at = clock_timestamp(),
                       blocked_by = CASE WHEN CAST(:reason AS text) IS NOT NULL THEN 'operator' END
                WHERE merchant_id = :merchant_id AND user_id = :user_id
                """
            ),
            {"merchant_id": merchant_id, "user_id": user_id, "reason": reason},
        ).rowcount
        == 1
    )


def lock_account(tx: Tx, merchant_id: int, method: str, account: str) -> list[Any]:
    """The payees whom a gateway pays to an account, locked by ascending id."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, blocked_reason, blocked_by, gateway_asked_at FROM payees
                WHERE merchant_id = :merchant_id AND method = :method AND account = :account
                ORDER BY id FOR NO KEY UPDATE
                """
            ),
            {"merchant_id": merchant_id, "method": method, "account": account},
        )
    )


def gateway_said(tx: Tx, payee_id: int, reason: str | None, asked_at: datetime) -> None:
    """Set the gateway's block, or (with None) lift it; an operator's stays. Keep when it was asked."""
    tx.execute(
        text(
            """
            UPDATE payees SET gateway_asked_at = :asked_at, updated_at = clock_timestamp(),
                   blocked_reason = CASE WHEN blocked_reason IS NOT NULL AND blocked_by IS DISTINCT FROM 'gateway'
                                         THEN blocked_reason ELSE :reason END,
                   blocked_by = CASE WHEN blocked_reason IS NOT NULL AND blocked_by IS DISTINCT FROM 'gateway'
                                     THEN blocked_by WHEN CAST(:reason AS text) IS NOT NULL THEN 'gateway' END
            WHERE id = :id
            """
        ),
        {"id": payee_id, "reason": reason, "asked_at": asked_at},
    )
