"""SQL of stops: what keeps payouts from being sent, whoever or whatever it is."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.stopping import Stop

IN_FORCE: Final = (
    "s.lifted_at IS NULL AND (s.merchant_id IS NULL OR s.merchant_id = p.merchant_id)"
    " AND (s.method IS NULL OR s.method = p.method)"
)
"""Condition under which stop ``s``, of any kind, keeps payout ``p`` from being sent."""

_OF_ROUTE: Final = text(
    """
    SELECT s.id, s.kind, s.merchant_id, s.method, s.reason, s.stopped_by FROM payout_stops s,
           (VALUES (CAST(:merchant_id AS bigint), CAST(:method AS text))) AS p (merchant_id, method)
    WHERE $in_force ORDER BY s.id LIMIT 1 FOR KEY SHARE OF s
    """.replace("$in_force", IN_FORCE)
)


def in_force(tx: Tx, merchant_id: int, method: str) -> Stop | None:
    """The oldest stop, of any kind, that keeps this merchant's payouts by this method; or None."""
    row = tx.execute(_OF_ROUTE, {"merchant_id": merchant_id, "method": method}).one_or_none()
    return None if row is None else _stop(row)


def of_all(tx: Tx, kind: str) -> Stop | None:
    """The stop of this kind, in force, that reaches every merchant and method; or None."""
    row = tx.execute(
        text(
            """
            SELECT id, kind, merchant_id, method, reason, stopped_by FROM payout_stops
            WHERE kind = :kind AND lifted_at IS NULL AND merchant_id IS NULL AND method IS NULL
            """
        ),
        {"kind": kind},
    ).one_or_none()
    return None if row is None else _stop(row)


def wait_for_sends(tx: Tx) -> None:
    """Wait until every transaction that looked for stops has ended, and let none look until this ends.

    A send reads the stops in the transaction that commits to it, FOR KEY SHARE, which holds the table
    against an EXCLUSIVE lock until that ends. So none which read before a stop commits after it, and the
    stop waits for sends alone: not for a backup, or for a page that reads the table as well.
    """
    tx.execute(text("LOCK TABLE payout_stops IN EXCLUSIVE MODE"))


def put(
    tx: Tx, kind: str, *, merchant_id: int | None, method: str | None, reason: str, by: str
) -> Stop | None:
    """Write a stop; None if one of this kind and reach is in force already."""
    row = tx.execute(
        text(
            """
            INSERT INTO payout_stops (kind, merchant_id, method, reason, stopped_by)
            VALUES (:kind, :merchant_id, :method, :reason, :by)
            ON CONFLICT DO NOTHING RETURNING id, kind, merchant_id, method, reason, stopped_by
            """
        ),
        {
            "kind": kind,
            "merchant_id": merchant_id,
            "method": method,
            "reason": reason,
            "by": by,
        },
    ).one_or_none()
    return None if row is None else _stop(row)


def lift(tx: Tx, kind: str, *, merchant_id: int | None, method: str | None, by: str) -> Stop | None:
    """Lift the stop of this kind and exactly this reach; None if there is none in force."""
    row = tx.execute(
        text(
            """
            UPDATE payout_stops SET lifted_at = clock_timestamp(), lifted_by = :by
            WHERE kind = :kind AND lifted_at IS NULL
                  AND merchant_id IS NOT DISTINCT FROM CAST(:merchant_id AS bigint)
                  AND method IS NOT DISTINCT FROM CAST(:method AS text)
            RETURNING id, kind, merchant_id, method, reason, stopped_by
            """
        ),
        {"kind": kind, "merchant_id": merchant_id, "method": method, "by": by},
    ).one_or_none()
    return None if row is None else _stop(row)


def wake(tx: Tx, sentence: str, after: timedelta = timedelta(0)) -> int:
    """Let the first sweep ``after`` a while ask for the payouts that wait with this sentence; returns how many.

    Those that somebody holds are passed by: their own next look is not far.
    """
    return tx.execute(
        text(
            """
            WITH waiting AS (
                SELECT id FROM payouts WHERE look_at IS NOT NULL AND parked_reason = :sentence
                ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE payouts p SET look_at = clock_timestamp() + CAST(:after AS interval),
                   parked_reason = NULL, emit_count = 0
            FROM waiting WHERE p.id = waiting.id
            """
        ),
        {"sentence": sentence, "after": after},
    ).rowcount


def listed(tx: Tx) -> list[Any]:
    """Every stop in force, oldest first, with its merchant's key (None: all merchants)."""
    return list(
        tx.execute(
            text(
                """
                SELECT s.id, s.kind, m.key AS merchant, s.method, s.reason, s.stopped_by, s.created_at
                FROM payout_stops s LEFT JOIN merchants m ON m.id = s.merchant_id
                WHERE s.lifted_at IS NULL ORDER BY s.id
                """
            )
        )
    )


def _stop(row: Any) -> Stop:
    return Stop(row.id, row.kind, row.merchant_id, row.method, row.reason, row.stopped_by)
