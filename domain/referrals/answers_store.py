"""SQL of what people ask: what a program did, what a user's referrals came to, and why."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import text

from domain.db import Tx

DAY_COLUMNS = (
    "conversions",
    "volume",
    "earned",
    "referee_earned",
    "reversals",
    "refunded",
    "reversed",
    "referee_reversed",
)


def add_days(tx: Tx, rows: Sequence[Sequence[Any]]) -> None:
    """Add (program, day, *DAY_COLUMNS) to this connection's stripe; rows in order of their keys."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    names = ("programs", "days", *DAY_COLUMNS)
    tx.execute(_ADD_DAYS, dict(zip(names, columns, strict=True)))


_ADD_DAYS = text(
    f"""
    INSERT INTO program_days AS d (program_id, day, stripe, {", ".join(DAY_COLUMNS)})
    SELECT program_id, day, pg_backend_pid() % 16, {", ".join(DAY_COLUMNS)}
    FROM unnest(CAST(:programs AS bigint[]), CAST(:days AS date[]),
                {", ".join(f"CAST(:{name} AS bigint[])" for name in DAY_COLUMNS)})
         WITH ORDINALITY AS k (program_id, day, {", ".join(DAY_COLUMNS)}, position)
    ORDER BY position
    ON CONFLICT (program_id, day, stripe) DO UPDATE
    SET {", ".join(f"{name} = d.{name} + excluded.{name}" for name in DAY_COLUMNS)}
    """  # noqa: S608 - columns are constants
)


def days(tx: Tx, program_id: int, since: date | None, until: date | None) -> list[Any]:
    """What a program did, day by day, from ``since`` to before ``until`` (None: all)."""
    sums = ", ".join(f"sum({name})::bigint AS {name}" for name in DAY_COLUMNS)
    return list(
        tx.execute(
            text(
                f"""
                SELECT day, {sums} FROM program_days
                WHERE program_id = :program_id
                      AND (CAST(:since AS date) IS NULL OR day >= :since)
                      AND (CAST(:until AS date) IS NULL OR day < :until)
                GROUP BY day ORDER BY day
                """  # noqa: S608 - columns are constants
            ),
            {"program_id": program_id, "since": since, "until": until},
        )
    )


_TRACKING = """
    SELECT t.id, t.referrer_user_id, t.referred_user_id, c.code, p.key AS program, t.program_version,
           t.transaction_id, t.transaction_amount, t.amount_earned, t.referee_amount_earned, t.currency,
           t.converted_at, t.seq, t.explanation, t.refunded_amount, t.fully_refunded, t.dispute_lost,
           t.reversed_amount, t.referee_reversed_amount, t.created_at, t.available_at, t.payout_id,
           t.payout_status
    FROM tracking_details t
    JOIN codes c ON c.id = t.code_id
    JOIN programs p ON p.id = t.program_id
"""


def history(tx: Tx, merchant_id: int, user_id: str, *, before: int | None, limit: int) -> list[Any]:
    """The conversions that a user is credited with, newest first, below the number ``before``."""
    return list(
        tx.execute(
            text(
                f"""
                {_TRACKING}
                WHERE t.merchant_id = :merchant_id AND t.referrer_user_id = :user_id
                      AND t.id < coalesce(CAST(:before AS bigint), 9223372036854775807)
                ORDER BY t.id DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "user_id": user_id, "before": before, "limit": limit},
        )
    )


def tracking(tx: Tx, merchant_id: int, tracking_id: int) -> Any:
    """One tracking, or None."""
    return tx.execute(
        text(f"{_TRACKING} WHERE t.merchant_id = :merchant_id AND t.id = :id"),
        {"merchant_id": merchant_id, "id": tracking_id},
    ).one_or_none()


def tracking_of(tx: Tx, merchant_id: int, transaction_id: str) -> int | None:
    """The tracking of a transaction."""
    found: int | None = tx.execute(
        text(
            "SELECT id FROM trackings WHERE merchant_id = :merchant_id AND transaction_id = :transaction_id"
        ),
        {"merchant_id": merchant_id, "transaction_id": transaction_id},
    ).scalar()
    return found


def version(tx: Tx, tracking_id: int) -> Any:
    """The terms that a tracking was computed with, and who was its event."""
    return tx.execute(
        text(
            """
            SELECT v.rule, v.referee_rule, v.hold_days, i.source, i.event_id, i.received_at
            FROM trackings t
            JOIN program_versions v ON v.program_id = t.program_id AND v.version = t.program_version
            JOIN inbox_events i ON i.id = t.inbox_id
            WHERE t.id = :id
            """
        ),
        {"id": tracking_id},
    ).one()


def reversals(tx: Tx, tracking_id: int) -> list[Any]:
    """What was taken back of a tracking, in order, with the events that said so."""
    return list(
        tx.execute(
            text(
                """
                SELECT r.id, r.kind, r.external_id, r.amount, r.reversed, r.referee_reversed, r.occurred_at,
                       i.source, i.event_id
                FROM tracking_reversals r JOIN inbox_events i ON i.id = r.inbox_id
                WHERE r.tracking_id = :id ORDER BY r.id
                """
            ),
            {"id": tracking_id},
        )
    )


def holds(tx: Tx, tracking_id: int) -> list[Any]:
    """What held a tracking, or holds it, in order."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, kind, ref, evidence, held_at, outcome, closed_at, closed_by, close_reason
                FROM tracking_holds WHERE tracking_id = :id ORDER BY id
                """
            ),
            {"id": tracking_id},
        )
    )


def earnings(tx: Tx, tracking_id: int) -> list[Any]:
    """What is payable because of a tracking, in order, with its payout."""
    return list(
        tx.execute(
            text(
                """
                SELECT e.id, e.user_id, e.kind, e.source_kind, e.amount, e.currency, e.available_at,
                       e.held_at, e.hold_reason, e.voided_at, e.payout_id, p.state AS payout_state,
                       -- A debit waits with what it takes back, unless that is in a payout.
                       r.held_at IS NOT NULL AND r.payout_id IS NULL AS held_with_its_credit
                FROM earnings e
                LEFT JOIN payouts p ON p.id = e.payout_id
                LEFT JOIN earnings r ON r.id = e.reverses_id
                WHERE (e.source_kind IN ('tracking', 'paid_before') AND e.source_id = :id)
                   OR (e.source_kind = 'tracking_reversal'
                       AND e.source_id IN (SELECT id FROM tracking_reversals WHERE tracking_id = :id))
                ORDER BY e.id
                """
            ),
            {"id": tracking_id},
        )
    )
