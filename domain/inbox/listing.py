"""How people and producers go through the events that did not apply, page by page."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

ATTENTION: Final = ("rejected", "waiting", "dead")
"""The states that can be listed. What applied, the millions, is asked for by name."""

# By one of the indexes of what needs attention, newest first. The order names the table: by itself, `id` would be
# the producer's, and pages would leave events out.
_PAGE: Final = """
    SELECT id AS inbox_id, source, event_id AS id, type, status, reason, detail, occurred_at, received_at,
           attempts
    FROM inbox_events
    WHERE status = :status AND status <> 'applied' AND id < :before AND merchant_id = :merchant_id $narrowed
    ORDER BY inbox_events.id DESC LIMIT :limit
"""

_BEFORE_ALL: Final = 2**63 - 1


def page(
    tx: Tx,
    merchant_id: int,
    status: str,
    *,
    reason: str | None = None,
    type_: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """A merchant's events in a state of ATTENTION, newest first, `limit` at most, below ``before``; of a reason,
    of a type.

    ``inbox_id`` of the last one is where the next page begins.
    """
    assert status in ATTENTION
    wanted = {
        "merchant_id": merchant_id,
        "status": status,
        "before": _BEFORE_ALL if before is None else before,
        "limit": limit,
    }
    by = {name: said for name, said in (("reason", reason), ("type", type_)) if said is not None}
    narrowed = _PAGE.replace("$narrowed", "".join(f" AND {name} = :{name}" for name in by))
    return [dict(row._mapping) for row in tx.execute(text(narrowed), wanted | by)]


RECENT: Final = 20_000
"""How far back `newest` looks, in events of all merchants: a quiet one beside a busy one costs no more."""


def newest(
    tx: Tx, merchant_id: int, *, before: int | None = None, limit: int
) -> list[dict[str, Any]]:
    """A merchant's events among the `RECENT` newest below ``before``, newest first, whatever their state."""
    rows = tx.execute(
        text(
            """
            WITH top AS (
                SELECT least(max(id) + 1, CAST(:before AS bigint)) AS id FROM inbox_events
            )
            SELECT i.id AS inbox_id, i.source, i.event_id AS id, i.type, i.status, i.reason, i.detail,
                   i.occurred_at, i.received_at, i.attempts
            FROM inbox_events i
            WHERE i.id < (SELECT id FROM top) AND i.id >= (SELECT id FROM top) - :recent
              AND i.merchant_id = :merchant_id
            ORDER BY i.id DESC LIMIT :limit
            """
        ),
        {
            "merchant_id": merchant_id,
            "before": _BEFORE_ALL if before is None else before,
            "recent": RECENT,
            "limit": limit,
        },
    )
    return [dict(row._mapping) for row in rows]


def named(tx: Tx, event_id: str, *, merchant_id: int | None = None, limit: int = 20) -> list[Any]:
    """Events of this id, of any source (and any merchant): (merchant, merchant_id, source, id, inbox_id).

    The index is by merchant and source first, so it is entered once for each of those that exist.
    """
    return list(
        tx.execute(
            text(
                """
                WITH RECURSIVE sources AS (
                    (SELECT merchant_id, source FROM inbox_events
                     WHERE merchant_id >= CAST(coalesce(:merchant_id, 0) AS bigint)
                     ORDER BY merchant_id, source LIMIT 1)
                    UNION ALL
                    SELECT n.merchant_id, n.source FROM sources s CROSS JOIN LATERAL (
                        SELECT merchant_id, source FROM inbox_events i
                        WHERE (i.merchant_id, i.source) > (s.merchant_id, s.source)
                        ORDER BY i.merchant_id, i.source LIMIT 1) n
                )
                SELECT m.key AS merchant, i.merchant_id, i.source, i.event_id AS id, i.id AS inbox_id,
                       i.status, i.type
                FROM (SELECT * FROM sources LIMIT 10000) s
                JOIN inbox_events i ON (i.merchant_id, i.source, i.event_id)
                                       = (s.merchant_id, s.source, CAST(:event_id AS text))
                JOIN merchants m ON m.id = i.merchant_id
                WHERE CAST(:merchant_id AS bigint) IS NULL OR i.merchant_id = :merchant_id
                LIMIT :limit
                """
            ),
            {"event_id": event_id, "merchant_id": merchant_id, "limit": limit},
        )
    )


def by_number(tx: Tx, merchant_id: int, number: int) -> Any:
    """A merchant's event by its number here, with what it says, or None."""
    return tx.execute(
        text(
            """
            SELECT id AS inbox_id, source, event_id AS id, type, status, reason, detail, occurred_at,
                   received_at, attempts, correlation, data, raw
            FROM inbox_events WHERE id = :number AND merchant_id = :merchant_id
            """
        ),
        {"merchant_id": merchant_id, "number": number},
    ).one_or_none()


def unreadable(tx: Tx, *, before: int | None, limit: int) -> list[Any]:
    """Messages without a readable identity or a known merchant below ``before``, newest first."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, reason, detail, received_at, message_id, position,
                       encode(substring(raw FROM 1 FOR 500), 'escape') AS begins
                FROM rejected_messages WHERE id < :before ORDER BY id DESC LIMIT :limit
                """
            ),
            {"before": _BEFORE_ALL if before is None else before, "limit": limit},
        )
    )
