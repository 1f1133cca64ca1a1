"""SQL of the sweeps: payouts that nothing happens to, asked for again, set aside or taken up."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.outside import SAID
from domain.payouts.store.stops import IN_FORCE


def stuck(tx: Tx, limit: int) -> list[Any]:
    """Payouts that nothing happened to for too long, longest first, with their live attempt.

    Those that another sweep or a sender holds are left out, and those that a stop keeps from being sent:
    only what may have been paid, and what Wise is delivering, is still asked about then. Of two legs the
    live attempt is the bank's.
    """
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.merchant_id, p.method, p.state, p.emit_count, a.id AS attempt_id, a.leg,
                       a.state AS attempt_state, a.lease_until
                FROM (SELECT id, merchant_id, method, state, emit_count FROM payouts p
                      WHERE look_at <= clock_timestamp() AND frozen_reason IS NULL
                            AND (state = 'unknown'
                                 OR (method = 'wise' AND state IN ('in_transit', 'paid', 'returned'))
                                 OR NOT EXISTS (SELECT FROM payout_stops s WHERE $in_force)
                                 OR EXISTS (SELECT FROM payout_attempts l WHERE l.payout_id = p.id
                                            AND l.state = 'sending' AND l.lease_until IS NOT NULL))
                      ORDER BY look_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED) p
                LEFT JOIN LATERAL (SELECT * FROM payout_attempts l WHERE l.payout_id = p.id
                                   AND l.state NOT IN ('failed', 'abandoned', 'reversed')
                                   ORDER BY l.leg LIMIT 1) a ON true
                """.replace("$in_force", IN_FORCE)
            ),
            {"limit": limit},
        )
    )


def asked_about(tx: Tx, payout_id: int) -> list[Any]:
    """A payout with its live attempt, as `stuck` gives them."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.merchant_id, p.method, p.state, p.emit_count, a.id AS attempt_id, a.leg,
                       a.state AS attempt_state, a.lease_until
                FROM payouts p
                LEFT JOIN LATERAL (SELECT * FROM payout_attempts l WHERE l.payout_id = p.id
                                   AND l.state NOT IN ('failed', 'abandoned', 'reversed')
                                   ORDER BY l.leg LIMIT 1) a ON true
                WHERE p.id = :id
                """
            ),
            {"id": payout_id},
        )
    )


def emitted(tx: Tx, waits: Sequence[tuple[int, timedelta]]) -> None:
    """Note that payouts were asked for again: (id, how long until the sweep looks next)."""
    tx.execute(
        text(
            """
            UPDATE payouts p SET emitted_at = clock_timestamp(), emit_count = emit_count + 1,
                   look_at = clock_timestamp() + w.wait
            FROM unnest(CAST(:ids AS bigint[]), CAST(:waits AS interval[])) AS w (id, wait)
            WHERE p.id = w.id
            """
        ),
        {"ids": [payout_id for payout_id, _ in waits], "waits": [wait for _, wait in waits]},
    )


def set_aside(tx: Tx, payout_id: int, reason: str) -> None:
    """Let the sweep pass a payout by, if it would look at it at all, until somebody takes it up; what a person
    said of it stays said."""
    tx.execute(
        text(
            """
            UPDATE payouts SET look_at = NULL,
                   parked_reason = CASE WHEN parked_reason = :said THEN parked_reason ELSE :reason END
            WHERE id = :id AND look_at IS NOT NULL
            """
        ),
        {"id": payout_id, "reason": reason, "said": SAID},
    )


def take_up(tx: Tx, payout_ids: Collection[int], reason: str, wait: timedelta) -> None:
    """Let the sweep look again, after ``wait``, at payouts that were set aside for this reason. They are locked
    in the order of their ids."""
    tx.execute(
        text(
            """
            WITH aside AS (
                SELECT id FROM payouts
                WHERE id = ANY(CAST(:ids AS bigint[])) AND look_at IS NULL AND parked_reason = :reason
                ORDER BY id FOR NO KEY UPDATE
            )
            UPDATE payouts p SET look_at = clock_timestamp() + CAST(:wait AS interval),
                   parked_reason = NULL, emit_count = 0
            FROM aside WHERE p.id = aside.id
            """
        ),
        {"ids": sorted(payout_ids), "reason": reason, "wait": wait},
    )


def payouts_of(tx: Tx, attempt_ids: Collection[int]) -> list[int]:
    """The payouts of some attempts."""
    rows = tx.execute(
        text(
            "SELECT DISTINCT payout_id FROM payout_attempts WHERE id = ANY(CAST(:ids AS bigint[]))"
        ),
        {"ids": sorted(attempt_ids)},
    )
    return list(rows.scalars())
