"""SQL of the expiry sweep: set-based over a range of cards.

The due index and the ids of a range are both conditions; which of them is the better road depends on
how many cards are due, so these statements are planned for their values each time.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx

_RANGES = text(
    """
    SELECT min(id) AS first_id, max(id) AS last_id, count(*) AS cards
    FROM (
        SELECT id, (row_number() OVER (ORDER BY id) - 1) / :range_size AS part
        FROM cards WHERE merchant_id = :merchant_id AND expire_check_on <= :as_of
    ) due
    GROUP BY part ORDER BY part
    """
)

# Its own statement: what it locks may have changed while it looked, so the next one reads anew.
_LOCK_DUE = text(
    """
    SELECT id FROM cards
    WHERE merchant_id = :merchant_id AND id BETWEEN :first_id AND :last_id AND expire_check_on <= :fire_at
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    """
)

# The ids stand at every large table: the planner knows how many they are, and nothing of the size of what
# the other steps give it, so that a range is read by index however much lies around it.
_EXPIRE = text(
    """
    WITH due AS MATERIALIZED (
        SELECT c.id, c.merchant_id, c.program_id, p.key, p.version, c.last_seq,
               c.points_balance, c.stamps_balance, c.last_activity_at,
               CASE WHEN c.inactivity_deadline <= :fire_at THEN c.inactivity_deadline END AS period_ends
        FROM cards c JOIN loyalty_programs p ON p.id = c.program_id
        WHERE c.id = ANY(CAST(:ids AS bigint[]))
    ), open AS MATERIALIZED (
        SELECT l.id, l.card_id, l.remaining - l.held AS points, least(l.expires_at, d.period_ends) AS deadline
        FROM point_lots l JOIN due d ON d.id = l.card_id
        WHERE l.card_id = ANY(CAST(:ids AS bigint[])) AND l.remaining > 0 AND l.remaining > l.held
          AND (l.expires_at <= :fire_at OR (d.period_ends IS NOT NULL AND d.points_balance > 0))
    ), sums AS MATERIALIZED (
        SELECT card_id, deadline, sum(points)::bigint AS points,
               row_number() OVER earlier AS place, (sum(sum(points)) OVER earlier)::bigint AS gone
        FROM open GROUP BY card_id, deadline WINDOW earlier AS (PARTITION BY card_id ORDER BY deadline)
    ), booked AS (
        INSERT INTO loyalty_transactions
               (merchant_id, card_id, program_id, program_version, seq, type, points_delta,
                points_balance_after, stamps_balance_after, explanation, transaction_at)
        SELECT d.merchant_id, d.id, d.program_id, d.version, d.last_seq + s.place, 'points_expired', -s.points,
               d.points_balance - s.gone, d.stamps_balance,
               CASE WHEN s.deadline = d.period_ends
                   THEN jsonb_build_object('policy', 'inactivity', 'last_activity_at',
                       to_char(d.last_activity_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                   ELSE '{"policy": "lot"}'
               END,
               s.deadline
        FROM due d JOIN sums s ON s.card_id = d.id ORDER BY d.id, s.place
        RETURNING id, merchant_id, card_id, points_delta, transaction_at
    ), emptied AS (
        UPDATE point_lots l SET remaining = l.remaining - o.points FROM open o
        WHERE l.id = o.id AND l.card_id = ANY(CAST(:ids AS bigint[])) AND l.remaining > 0
    ), allocated AS (
        INSERT INTO lot_allocations (merchant_id, debit_transaction_id, lot_id, points)
        SELECT b.merchant_id, b.id, o.id, o.points
        FROM booked b JOIN open o ON o.card_id = b.card_id AND o.deadline = b.transaction_at
    ), lapsed AS (
        UPDATE cards c
        SET points_balance = c.points_balance - coalesce(s.gone, 0),
            last_seq = c.last_seq + coalesce(s.rows, 0),
            expired_through = coalesce(d.period_ends, c.expired_through),
            inactivity_deadline = CASE WHEN d.period_ends IS NULL THEN c.inactivity_deadline END,
            -- What is left is timed by the statement that follows.
            expire_check_on = CASE WHEN d.period_ends IS NULL THEN c.expire_check_on END
        FROM due d LEFT JOIN (
            SELECT card_id, sum(points)::bigint AS gone, count(*) AS rows FROM sums GROUP BY card_id
        ) s ON s.card_id = d.id
        WHERE c.id = d.id AND c.id = ANY(CAST(:ids AS bigint[]))
          AND (d.period_ends IS NOT NULL OR s.card_id IS NOT NULL)
    )
    SELECT b.id, b.card_id, -b.points_delta AS points, b.transaction_at, d.key
    FROM booked b JOIN due d ON d.id = b.card_id
    """
)

_REARM = text(
    """
    UPDATE cards c SET expire_check_on = CASE WHEN points_balance > 0 THEN least(inactivity_deadline, (
        SELECT min(l.expires_at) FROM point_lots l WHERE l.card_id = c.id AND l.remaining > 0
    )) END
    WHERE id = ANY(CAST(:ids AS bigint[])) AND expire_check_on <= :fire_at
    """
)

_LEFT = text(
    """
    SELECT count(*) FROM cards
    WHERE merchant_id = :merchant_id AND id BETWEEN :first_id AND :last_id AND expire_check_on <= :fire_at
    """
)

_DRY_RUN = text(
    """
    SELECT p.key, count(DISTINCT c.id) AS cards, coalesce(sum(l.remaining - l.held), 0)::bigint AS points
    FROM cards c
    JOIN loyalty_programs p ON p.id = c.program_id
    JOIN point_lots l ON l.card_id = c.id AND l.remaining > 0 AND l.remaining > l.held
    WHERE c.merchant_id = :merchant_id AND c.expire_check_on <= :as_of
      AND (l.expires_at <= :as_of OR (c.inactivity_deadline <= :as_of AND c.points_balance > 0))
    GROUP BY p.key ORDER BY p.key
    """
)


def plan_for_values(tx: Tx) -> None:
    """Have the statements of this transaction planned for their values, and not compiled."""
    tx.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
    tx.execute(text("SET LOCAL jit = off"))


def ranges(tx: Tx, merchant_id: int, as_of: datetime, range_size: int) -> list[Any]:
    """Ranges of card ids with ``range_size`` due cards each: first_id, last_id, cards."""
    return list(
        tx.execute(_RANGES, {"merchant_id": merchant_id, "as_of": as_of, "range_size": range_size})
    )


def lock_due(tx: Tx, merchant_id: int, first_id: int, last_id: int, fire_at: datetime) -> list[int]:
    """Lock the due cards of a range in id order, passing over those that somebody else holds."""
    rows = tx.execute(
        _LOCK_DUE,
        {
            "merchant_id": merchant_id,
            "first_id": first_id,
            "last_id": last_id,
            "fire_at": fire_at,
        },
    )
    return [row[0] for row in rows]


def expire(tx: Tx, card_ids: list[int], fire_at: datetime) -> list[Any]:
    """Expire what has passed its deadline on locked cards: id, card_id, points, transaction_at, key of each row."""
    return list(tx.execute(_EXPIRE, {"ids": card_ids, "fire_at": fire_at}))


def rearm(tx: Tx, card_ids: list[int], fire_at: datetime) -> int:
    """Set the timer of the locked cards that are still due to their deadline; none on empty cards."""
    return tx.execute(_REARM, {"ids": card_ids, "fire_at": fire_at}).rowcount


def left(tx: Tx, merchant_id: int, first_id: int, last_id: int, fire_at: datetime) -> int:
    """Due cards of a range that are still there: those that were passed over."""
    count: int = tx.execute(
        _LEFT,
        {
            "merchant_id": merchant_id,
            "first_id": first_id,
            "last_id": last_id,
            "fire_at": fire_at,
        },
    ).scalar_one()
    return count


def would_expire(tx: Tx, merchant_id: int, as_of: datetime) -> list[Any]:
    """Per program: key, cards and points that are due as of ``as_of``."""
    return list(tx.execute(_DRY_RUN, {"merchant_id": merchant_id, "as_of": as_of}))
