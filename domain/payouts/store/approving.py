"""SQL by which a run is approved or rejected."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.payouts.rules.approving import Made


def made(tx: Tx, run_id: int) -> dict[str, Made]:
    """The largest payout of a run and their sum, by currency."""
    rows = tx.execute(
        text(
            """
            SELECT currency, max(amount) AS largest, sum(amount) AS total
            FROM payouts WHERE run_id = :run_id GROUP BY currency
            """
        ),
        {"run_id": run_id},
    )
    return {row.currency: Made(row.largest, int(row.total)) for row in rows}


def await_approval(tx: Tx, run_id: int, hours: int) -> None:
    """From frozen to waiting for a person, for so many hours of real time."""
    moved = tx.execute(
        text(
            """
            UPDATE payout_runs SET state = 'pending_approval',
                   approval_expires_at = clock_timestamp() + make_interval(hours => :hours)
            WHERE id = :id AND state = 'frozen'
            """
        ),
        {"id": run_id, "hours": hours},
    )
    assert moved.rowcount == 1, f"run {run_id} was frozen"


def approve(tx: Tx, run_id: int, *, by: str, approved_hash: bytes) -> None:
    """Approve a run: the database refuses whoever prepared it, another hash, and an approval too late."""
    moved = tx.execute(
        text(
            """
            UPDATE payout_runs SET state = 'approved', approved_at = clock_timestamp(), approved_by = :by,
                   approved_hash = :approved_hash
            WHERE id = :id AND state IN ('frozen', 'pending_approval')
            """
        ),
        {"id": run_id, "by": by, "approved_hash": approved_hash},
    )
    assert moved.rowcount == 1, f"run {run_id} waited for its approval"


def reject(tx: Tx, run_id: int, *, by: str, reason: str) -> None:
    """Reject a run that is not approved yet."""
    moved = tx.execute(
        text(
            """
            UPDATE payout_runs SET state = 'rejected', rejected_at = clock_timestamp(), rejected_by = :by,
                   reject_reason = :reason
            WHERE id = :id AND state IN ('frozen', 'pending_approval')
            """
        ),
        {"id": run_id, "by": by, "reason": reason},
    )
    assert moved.rowcount == 1, f"run {run_id} waited for its approval"


def members(tx: Tx, run_id: int, after: int, limit: int) -> list[Any]:
    """The next payouts of a run with the digest of what is in them now (rules.members_digest), by id."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.id, p.state, p.amount, p.currency, p.destination, p.members, p.members_hash,
                       e.digest, e.counted, e.summed
                FROM (SELECT * FROM payouts WHERE run_id = :run_id AND id > :after
                      ORDER BY id LIMIT :limit) p
                LEFT JOIN LATERAL (
                    SELECT sha256(convert_to(string_agg(id || ':' || amount, ',' ORDER BY id), 'UTF8')) AS digest,
                           count(*) AS counted, sum(amount) AS summed
                    FROM earnings WHERE payout_id = p.id
                ) e ON true
                ORDER BY p.id
                """
            ),
            {"run_id": run_id, "after": after, "limit": limit},
        )
    )


def drafts(tx: Tx, run_id: int, limit: int) -> list[Any]:
    """The next payouts of a run that were never handed over, with their accounts; not locked. Those that are
    stopped are left out: one that a failover forgot may have been paid."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, account_id FROM payouts
                WHERE run_id = :run_id AND state = 'draft' AND frozen_reason IS NULL
                ORDER BY id LIMIT :limit
                """
            ),
            {"run_id": run_id, "limit": limit},
        )
    )


def expired(tx: Tx) -> list[int]:
    """Runs that nobody approved in time, by PostgreSQL's real clock."""
    rows = tx.execute(
        text(
            """
            SELECT id FROM payout_runs
            WHERE state = 'pending_approval' AND approval_expires_at <= clock_timestamp() ORDER BY id
            """
        )
    )
    return [row.id for row in rows]


def unfinished(tx: Tx) -> list[Any]:
    """Runs that were approved or rejected, and whose payouts are not all handed over or canceled; of a
    rejected one, those that are stopped are waited for."""
    return list(
        tx.execute(
            text(
                """
                SELECT r.id, r.state FROM payout_runs r
                WHERE r.state = 'approved' OR (r.state = 'rejected' AND EXISTS (
                    SELECT FROM payouts p
                    WHERE p.run_id = r.id AND p.state = 'draft' AND p.frozen_reason IS NULL))
                ORDER BY r.id
                """
            )
        )
    )
