"""SQL of notices of points that are about to expire."""

from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx

# The timer is never later than a deadline: who has one ahead is found by it. Held points are told too: the hold
# may be released. A program that announces nothing has NULL days, which no deadline is within.
_ANNOUNCE = text(
    """
    WITH due AS MATERIALIZED (
        SELECT c.id, c.merchant_id, c.inactivity_deadline, CAST(:at AS timestamptz) + make_interval(days => v.notice_days) AS until
        FROM cards c
        JOIN loyalty_programs p ON p.id = c.program_id
        JOIN loyalty_program_versions v ON v.program_id = p.id AND v.version = p.version
        WHERE c.merchant_id = :merchant_id AND c.id > :after
          AND c.expire_check_on < CAST(:at AS timestamptz) + make_interval(days => v.notice_days)
        ORDER BY c.id LIMIT :limit
    ), announced AS (
        INSERT INTO expiry_notices (merchant_id, card_id, deadline, points, noticed_at)
        SELECT d.merchant_id, d.id, least(l.expires_at, d.inactivity_deadline), sum(l.remaining)::bigint, :at
        FROM due d JOIN point_lots l ON l.card_id = d.id AND l.remaining > 0
        WHERE least(l.expires_at, d.inactivity_deadline) > :at AND least(l.expires_at, d.inactivity_deadline) < d.until
        GROUP BY d.merchant_id, d.id, least(l.expires_at, d.inactivity_deadline)
        ON CONFLICT (card_id, deadline) DO NOTHING
        RETURNING id
    )
    SELECT (SELECT max(id) FROM due) AS last, (SELECT count(*) FROM announced) AS announced
    """
)

_LIST = text(
    """
    SELECT n.id, c.number AS card, c.customer_id, p.key AS program, n.points, n.deadline AS expires_at, n.noticed_at
    FROM expiry_notices n JOIN cards c ON c.id = n.card_id JOIN loyalty_programs p ON p.id = c.program_id
    WHERE n.merchant_id = :merchant_id AND n.id > :after ORDER BY n.id LIMIT :limit
    """
)


def announce(
    tx: Tx, merchant_id: int, at: datetime, after: int, limit: int
) -> tuple[int, int | None]:
    """Announce what expires soon on the next ``limit`` cards above id ``after``: how many notices were
    new, and the last card that was looked at (None: there was none)."""
    row = tx.execute(
        _ANNOUNCE, {"merchant_id": merchant_id, "at": at, "after": after, "limit": limit}
    ).one()
    return row.announced, row.last


def notices(tx: Tx, merchant_id: int, after: int, limit: int) -> list[Any]:
    """Notices above id ``after``, in the order in which they were made."""
    return list(tx.execute(_LIST, {"merchant_id": merchant_id, "after": after, "limit": limit}))
