"""SQL of notices: what was made of what a gateway told us."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def read(tx: Tx, notice_id: int) -> Any:
    """A notice with the real clock, as `real_now`, or None."""
    return tx.execute(
        text("SELECT *, clock_timestamp() AS real_now FROM gateway_events WHERE id = :id"),
        {"id": notice_id},
    ).one_or_none()


def settle(tx: Tx, notice_id: int, state: str, why: str | None) -> bool:
    """Mark a notice that is not settled yet; returns whether this did it."""
    done = tx.execute(
        text(
            """
            UPDATE gateway_events SET state = :state, error = left(:why, 500), look_at = NULL,
                   applied_at = CASE WHEN :state = 'applied' THEN clock_timestamp() END
            WHERE id = :id AND state IN ('received', 'failed')
            """
        ),
        {"id": notice_id, "state": state, "why": why},
    )
    return done.rowcount == 1


def stuck(tx: Tx, limit: int) -> list[Any]:
    """Notices that nothing happened to for too long, oldest first; those that others hold are left out."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, merchant_id, emit_count FROM gateway_events
                WHERE state = 'received' AND coalesce(look_at, created_at) <= clock_timestamp()
                ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
                """
            ),
            {"limit": limit},
        )
    )


def emitted(tx: Tx, waits: Sequence[tuple[int, timedelta]]) -> None:
    """Note that notices were asked for again: (id, how long until the sweep looks next)."""
    tx.execute(
        text(
            """
            UPDATE gateway_events g SET emit_count = emit_count + 1, look_at = clock_timestamp() + w.wait
            FROM unnest(CAST(:ids AS bigint[]), CAST(:waits AS interval[])) AS w (id, wait)
            WHERE g.id = w.id
            """
        ),
        {"ids": [notice_id for notice_id, _ in waits], "waits": [wait for _, wait in waits]},
    )
