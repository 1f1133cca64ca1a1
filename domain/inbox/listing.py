"""How people and producers go through the events that did not apply, page by page."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

ATTENTION: Final = ("rejected", "waiting", "dead")
"""The states that can be listed. What applied, the millions, is asked for by name."""

# By the index of what needs attention, newest first.
_PAGE = text(
    """
    SELECT id AS inbox_id, source, event_id AS id, type, status, reason, detail, occurred_at, received_at,
           attempts
    FROM inbox_events
    WHERE status = :status AND status <> 'applied' AND id < :before AND merchant_id = :merchant_id
      AND (CAST(:reason AS text) IS NULL OR reason = :reason)
    ORDER BY id DESC LIMIT :limit
    """
)

_BEFORE_ALL: Final = 2**63 - 1


def page(
    tx: Tx,
    merchant_id: int,
    status: str,
    *,
    reason: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """A merchant's events in a state of ATTENTION, newest first, `limit` at most, below ``before``.

    ``inbox_id`` of the last one is where the next page begins.
    """
    assert status in ATTENTION
    rows = tx.execute(
        _PAGE,
        {
            "merchant_id": merchant_id,
            "status": status,
            "reason": reason,
            "before": _BEFORE_ALL if before is None else before,
            "limit": limit,
        },
    )
    return [dict(row._mapping) for row in rows]
