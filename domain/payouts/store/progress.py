"""SQL of payouts on their way: whose they are, and how the gateway says that they stand."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def on_its_way(tx: Tx, payout_id: int) -> Any:
    """What the gateway is asked by: merchant, method, state, and the attempt that paid; with the real clock
    as `real_now`; or None."""
    return tx.execute(
        text(
            """
            SELECT p.merchant_id, p.method, p.state, a.external_id, a.platform_account,
                   clock_timestamp() AS real_now
            FROM payouts p JOIN payout_attempts a
                 ON a.payout_id = p.id AND a.leg = 'transfer' AND a.state = 'succeeded'
            WHERE p.id = :id
            """
        ),
        {"id": payout_id},
    ).one_or_none()


def attempt_named(tx: Tx, merchant_id: int, account: str, reference: str) -> Any:
    """The attempt of a merchant that is named so at the gateway's account, or None."""
    return tx.execute(
        text(
            """
            SELECT id, payout_id FROM payout_attempts
            WHERE params ->> 'customerTransactionId' = :reference
                  AND merchant_id = :merchant_id AND platform_account = :account
            """
        ),
        {"merchant_id": merchant_id, "account": account, "reference": reference},
    ).one_or_none()


def asked(tx: Tx, payout_id: int, at: datetime) -> bool:
    """Keep when the gateway was asked whose answer is applied; False if a later answer was before."""
    kept: Any = tx.execute(
        text(
            """
            UPDATE payouts SET progress_asked_at = :at
            WHERE id = :id AND (progress_asked_at IS NULL OR progress_asked_at <= :at)
            """
        ),
        {"id": payout_id, "at": at},
    )
    return int(kept.rowcount) == 1


def look(tx: Tx, payout_id: int, wait: timedelta | None) -> None:
    """Let the sweep ask again after ``wait``, or never."""
    tx.execute(
        text(
            "UPDATE payouts SET look_at = clock_timestamp() + CAST(:wait AS interval) WHERE id = :id"
        ),
        {"id": payout_id, "wait": wait},
    )
