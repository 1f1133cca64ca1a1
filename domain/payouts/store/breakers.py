"""SQL of breakers: the stops that open and close by themselves, with when each is probed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def recent_probes(tx: Tx, merchant_id: int, method: str, *, by: str, within: timedelta) -> int:
    """How often the last breaker was probed, if ``by`` lifted it not longer ago than ``within``; else 0."""
    probes: int | None = tx.execute(
        text(
            """
            SELECT CASE WHEN lifted_by = :by AND lifted_at > clock_timestamp() - CAST(:within AS interval)
                        THEN probes ELSE 0 END
            FROM payout_stops
            WHERE kind = 'breaker' AND merchant_id = :merchant_id AND method = :method
                  AND lifted_at IS NOT NULL
            ORDER BY lifted_at DESC LIMIT 1
            """
        ),
        {"merchant_id": merchant_id, "method": method, "by": by, "within": within},
    ).scalar()
    return probes or 0


def start_probing(tx: Tx, stop_id: int, *, probes: int, wait: timedelta) -> None:
    """Say when an open breaker is probed first."""
    tx.execute(
        text(
            """
            UPDATE payout_stops SET probes = :probes, probe_at = clock_timestamp() + CAST(:wait AS interval)
            WHERE id = :id
            """
        ),
        {"id": stop_id, "probes": probes, "wait": wait},
    )


def due(tx: Tx, limit: int) -> list[Any]:
    """Open breakers whose probe is due, locked, longest first; those of another prober are left out."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, merchant_id, method, stopped_by, probes FROM payout_stops
                WHERE kind = 'breaker' AND lifted_at IS NULL AND probe_at <= clock_timestamp()
                ORDER BY probe_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
                """
            ),
            {"limit": limit},
        )
    )


def probed(tx: Tx, waits: Sequence[tuple[int, timedelta]]) -> None:
    """Note that breakers are being probed: (id, how long until the next time)."""
    tx.execute(
        text(
            """
            UPDATE payout_stops s SET probes = probes + 1, probe_at = clock_timestamp() + w.wait
            FROM unnest(CAST(:ids AS bigint[]), CAST(:waits AS interval[])) AS w (id, wait)
            WHERE s.id = w.id
            """
        ),
        {"ids": [stop_id for stop_id, _ in waits], "waits": [wait for _, wait in waits]},
    )


def is_in_force(tx: Tx, merchant_id: int, method: str, by: str) -> bool:
    """Whether a breaker that ``by`` opened is open."""
    found: bool = tx.execute(
        text(
            """
            SELECT EXISTS (SELECT FROM payout_stops WHERE kind = 'breaker' AND lifted_at IS NULL
                           AND merchant_id = :merchant_id AND method = :method AND stopped_by = :by)
            """
        ),
        {"merchant_id": merchant_id, "method": method, "by": by},
    ).scalar_one()
    return found


def is_open(tx: Tx, merchant_id: int, method: str) -> bool:
    """Whether the breaker of a merchant and method is open, whatever opened it."""
    found: bool = tx.execute(
        text(
            """
            SELECT EXISTS (SELECT FROM payout_stops WHERE kind = 'breaker' AND lifted_at IS NULL
                           AND merchant_id = :merchant_id AND method = :method)
            """
        ),
        {"merchant_id": merchant_id, "method": method},
    ).scalar_one()
    return found


def listed(tx: Tx) -> list[Any]:
    """Every open breaker, oldest first, with its merchant's key and how many payouts wait for it."""
    return list(
        tx.execute(
            text(
                """
                SELECT s.id, m.key AS merchant, s.method, s.reason, s.created_at, s.probes, s.probe_at,
                       (SELECT count(*) FROM payouts p
                        WHERE p.merchant_id = s.merchant_id AND p.method = s.method
                              AND p.state IN ('approved', 'sending', 'unknown', 'failed')
                              AND p.look_at IS NOT NULL) AS waiting
                FROM payout_stops s JOIN merchants m ON m.id = s.merchant_id
                WHERE s.kind = 'breaker' AND s.lifted_at IS NULL ORDER BY s.id
                """
            )
        )
    )
