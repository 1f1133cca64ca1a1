"""SQL of the expiry sweep: set-based over a range of cards.

The due index and the ids of a range are both conditions; which of them is the better road depends on
how many cards are due, so these statements are to be planned for their values each time.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.ledger.store import posting

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
    SELECT p.id AS program_id, p.key, array_agg(due.id) AS ids
    FROM (
    SELECT id, program_id FROM cards
    WHERE merchant_id = :merchant_id AND id BETWEEN :first_id AND :last_id AND expire_check_on <= :fire_at
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    ) due
    JOIN loyalty_programs p ON p.id = due.program_id GROUP BY p.id ORDER BY p.id
    """
)

# The ids stand at every large table: the planner knows how many they are, and nothing of the size of what
# the other steps give it, so that a range is read by index however much lies around it. Of joins of steps it
# would guess one row, the fewer the more cards there are, and go through one step for each row of the other:
# it is told by outer joins that none is lost where none is.
# Each card is written once: a row that its own transaction has written before has its keys checked again.
_EXPIRE = text(
    f"""
    WITH due AS MATERIALIZED (
        SELECT c.id, c.merchant_id, c.program_id, p.version, c.last_seq, c.points_balance, c.points_debt,
               c.stamps_balance, c.last_activity_at, c.inactivity_deadline, c.expired_through,
               CASE WHEN c.inactivity_deadline <= :fire_at THEN c.inactivity_deadline END AS period_ends
        FROM cards c JOIN loyalty_programs p ON p.id = c.program_id
        WHERE c.id = ANY(CAST(:ids AS bigint[]))
    ), lots AS MATERIALIZED (
        SELECT l.id, l.card_id, l.remaining - l.held AS points, l.held, l.expires_at,
               -- A lot that a hold kept beyond a period of inactivity goes as of the end of that.
               least(l.expires_at, d.period_ends,
                     CASE WHEN l.occurred_at < d.expired_through THEN d.expired_through END) AS deadline,
               l.remaining > l.held
                   AND (l.expires_at <= :fire_at OR d.period_ends IS NOT NULL OR l.occurred_at < d.expired_through)
                   IS TRUE AS goes
        FROM point_lots l LEFT JOIN due d ON d.id = l.card_id
        WHERE l.card_id = ANY(CAST(:ids AS bigint[])) AND l.remaining > 0
    ), open AS MATERIALIZED (
        SELECT id, card_id, points, deadline FROM lots WHERE goes
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
                   || CASE WHEN d.expired_through IS NULL THEN '{{}}' ELSE jsonb_build_object('since',
                       to_char(d.expired_through AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) END
                   WHEN s.deadline = d.expired_through THEN '{{"policy": "inactivity", "after": "hold"}}'
                   ELSE '{{"policy": "lot"}}'
               END,
               s.deadline
        FROM sums s LEFT JOIN due d ON d.id = s.card_id ORDER BY d.id, s.place
        RETURNING id, merchant_id, card_id, program_id, points_delta, transaction_at
    ), emptied AS (
        UPDATE point_lots l SET remaining = l.remaining - o.points FROM open o
        WHERE l.id = o.id AND l.card_id = ANY(CAST(:ids AS bigint[])) AND l.remaining > 0
    ), allocated AS (
        INSERT INTO lot_allocations (merchant_id, debit_transaction_id, lot_id, points)
        SELECT b.merchant_id, b.id, o.id, o.points
        FROM booked b JOIN open o ON o.card_id = b.card_id AND o.deadline = b.transaction_at
    ), after AS MATERIALIZED (
        SELECT card_id, coalesce(sum(points) FILTER (WHERE goes), 0)::bigint AS gone,
               count(DISTINCT deadline) FILTER (WHERE goes) AS rows,
               -- While all that is left of a lot is held, the end of the hold is soon enough to look.
               min(expires_at) FILTER (WHERE expires_at > :fire_at AND (held > 0 OR NOT goes)) AS next
        FROM lots GROUP BY card_id
    ), lapse AS MATERIALIZED (
        SELECT d.id, d.points_balance - coalesce(a.gone, 0) AS points_balance,
               d.last_seq + coalesce(a.rows, 0) AS last_seq,
               coalesce(d.period_ends, d.expired_through) AS expired_through,
               CASE WHEN d.period_ends IS NULL THEN d.inactivity_deadline END AS inactivity_deadline,
               least(
                   CASE WHEN d.period_ends IS NULL AND d.points_balance + d.points_debt > coalesce(a.gone, 0)
                       THEN d.inactivity_deadline END,
                   a.next,
                   (SELECT min(h.expires_at) FROM point_holds h WHERE h.card_id = d.id AND h.status = 'open')
               ) AS expire_check_on
        FROM due d LEFT JOIN after a ON a.card_id = d.id
    ), lapsed AS (
        UPDATE cards c
        SET points_balance = s.points_balance, last_seq = s.last_seq, expired_through = s.expired_through,
            inactivity_deadline = s.inactivity_deadline, expire_check_on = s.expire_check_on
        FROM lapse s
        WHERE c.id = s.id AND c.id = ANY(CAST(:ids AS bigint[]))
    ), moved AS MATERIALIZED (
        SELECT b.merchant_id, a.debit AS debit_account_id, a.credit AS credit_account_id, -b.points_delta AS amount,
               a.currency, 'points_expired' AS kind, 'loyalty_transaction' AS source_kind, b.id AS source_id,
               b.transaction_at AS occurred_at
        FROM booked b
        JOIN unnest(CAST(:programs AS bigint[]), CAST(:debits AS bigint[]), CAST(:credits AS bigint[]),
                    CAST(:currencies AS text[])) AS a (program_id, debit, credit, currency)
          ON a.program_id = b.program_id
    ), posted AS ({posting("moved")} RETURNING 1)
    SELECT count(DISTINCT card_id) AS cards, coalesce(-sum(points_delta), 0)::bigint AS points, count(*) AS booked,
           (SELECT count(*) FROM posted) AS posted
    FROM booked
    """  # noqa: S608
)

_LEFT = text(
    """
    SELECT count(*) FROM cards
    WHERE merchant_id = :merchant_id AND id BETWEEN :first_id AND :last_id AND expire_check_on <= :fire_at
    """
)

_DRY_RUN = text(
    """
    SELECT p.key, count(DISTINCT c.id) AS cards, coalesce(sum(l.remaining - still.held), 0)::bigint AS points
    FROM cards c
    JOIN loyalty_programs p ON p.id = c.program_id
    JOIN point_lots l ON l.card_id = c.id AND l.remaining > 0
    CROSS JOIN LATERAL (
        SELECT CASE WHEN l.held = 0 THEN 0 ELSE (
            SELECT coalesce(sum(p.points), 0) FROM point_hold_lots p
            JOIN point_holds h ON h.id = p.hold_id AND h.status = 'open' AND h.expires_at > :as_of
            WHERE p.lot_id = l.id
        ) END AS held OFFSET 0
    ) still
    WHERE c.merchant_id = :merchant_id AND c.expire_check_on <= :as_of AND l.remaining > still.held
      AND (l.expires_at <= :as_of OR c.inactivity_deadline <= :as_of OR l.occurred_at < c.expired_through)
    GROUP BY p.key ORDER BY p.key
    """
)


def ranges(tx: Tx, merchant_id: int, as_of: datetime, range_size: int) -> list[Any]:
    """Ranges of card ids with ``range_size`` due cards each: first_id, last_id, cards."""
    return list(
        tx.execute(_RANGES, {"merchant_id": merchant_id, "as_of": as_of, "range_size": range_size})
    )


def lock_due(
    tx: Tx, merchant_id: int, first_id: int, last_id: int, fire_at: datetime
) -> dict[tuple[int, str], list[int]]:
    """Lock the due cards of a range in id order, passing over those that somebody else holds.

    Returns their ids by program (id, key).
    """
    rows = tx.execute(
        _LOCK_DUE,
        {
            "merchant_id": merchant_id,
            "first_id": first_id,
            "last_id": last_id,
            "fire_at": fire_at,
        },
    )
    return {(row.program_id, row.key): row.ids for row in rows}


def expire(
    tx: Tx, card_ids: list[int], fire_at: datetime, accounts: Mapping[int, tuple[int, int, str]]
) -> Any:
    """Expire what has passed its deadline on locked cards, post it, and set their timers to the deadline that
    is next; none on empty cards.

    ``accounts`` are by program those that a transfer debits and credits, and their currency. Returns cards and
    points that expired, rows that were ``booked`` and ``posted``.
    """
    debits, credits, currencies = zip(*accounts.values(), strict=True)
    return tx.execute(
        _EXPIRE,
        {
            "ids": card_ids,
            "fire_at": fire_at,
            "programs": list(accounts),
            "debits": list(debits),
            "credits": list(credits),
            "currencies": list(currencies),
        },
    ).one()


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
