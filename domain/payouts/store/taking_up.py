"""SQL by which runs are found again: by name, because nobody builds them, or because others are before them."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def asked_for(tx: Tx, run_id: int) -> int:
    """How many payouts of its merchant were asked for and are not begun, if a run is approved.

    Those that wait for something else than their turn, or for a bank file, are not in anybody's way.
    """
    count: int = tx.execute(
        text(
            """
            SELECT count(*) FROM payout_runs r
            JOIN payouts p ON p.merchant_id = r.merchant_id AND p.state = 'approved'
                 AND p.method <> 'manual'
                 AND p.parked_reason IS NULL AND p.frozen_reason IS NULL
            WHERE r.id = :run_id AND r.state = 'approved'
            """
        ),
        {"run_id": run_id},
    ).scalar_one()
    return count


def take_stalled(tx: Tx, look: timedelta) -> list[Any]:
    """Runs that are not built to their end, and that nobody took further in time; looked at again after
    ``look``. One that a builder holds in this moment is left."""
    return list(
        tx.execute(
            text(
                """
                UPDATE payout_runs SET look_at = clock_timestamp() + CAST(:look AS interval)
                WHERE id IN (SELECT id FROM payout_runs
                             WHERE state IN ('building', 'frozen') AND look_at <= clock_timestamp()
                             ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
                RETURNING id, merchant_id
                """
            ),
            {"look": look},
        )
    )


def named(tx: Tx, merchant_id: int, name: str) -> Any:
    """The newest run of a name, or None."""
    return tx.execute(
        text(
            """
            SELECT * FROM payout_runs WHERE merchant_id = :merchant_id AND name = :name
            ORDER BY as_of DESC LIMIT 1
            """
        ),
        {"merchant_id": merchant_id, "name": name},
    ).one_or_none()
