"""SQL by which a person has payouts sent now."""

from datetime import timedelta

from sqlalchemy import text

from domain.db import Tx


def approved(
    tx: Tx, merchant_id: int, run_id: int, *, after: int, limit: int, look: timedelta
) -> list[int]:
    """Ids of a run's approved payouts that a worker could send, of which the sweep takes none for lost before
    ``look``; by ascending id above ``after``. One that somebody holds is left to them."""
    return list(
        tx.execute(
            text(
                """
                UPDATE payouts SET look_at = clock_timestamp() + CAST(:look AS interval)
                WHERE id IN (
                    SELECT id FROM payouts
                    WHERE run_id = :run_id AND merchant_id = :merchant_id AND id > :after
                      AND state = 'approved' AND frozen_reason IS NULL AND method <> 'manual'
                    ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
                )
                RETURNING id
                """
            ),
            {
                "merchant_id": merchant_id,
                "run_id": run_id,
                "after": after,
                "limit": limit,
                "look": look,
            },
        ).scalars()
    )
