"""Asking: what became of an event, and what needs attention."""

from __future__ import annotations

from typing import Any

from domain.db import Tx
from domain.inbox import repair_store, store


def status(tx: Tx, merchant_id: int, source: str, event_id: str) -> dict[str, Any] | None:
    """What became of an event, with the rows that it made; None if it never arrived."""
    row = store.find(tx, merchant_id, source, event_id)
    if row is None:
        return None
    return {
        "number": row.id,
        "source": row.source,
        "id": row.event_id,
        "type": row.type,
        "status": row.status,
        "reason": row.reason,
        "detail": row.detail,
        "occurred_at": row.occurred_at,
        "received_at": row.received_at,
        "attempts": row.attempts,
        "conflicts": row.conflicts,
        "made": store.rows_made_by(tx, row.id),
        "revisions": [
            {
                "revision": one.revision,
                "type": one.type,
                "occurred_at": one.occurred_at,
                "data": one.raw if one.data is None else one.data,
                "by": one.actor_id or "producer",
                "reason": one.reason,
                "at": one.created_at if one.actor_id else row.received_at,
            }
            for one in repair_store.revisions(tx, row.id)
        ],
    }


def counts(tx: Tx, merchant_id: int | None = None) -> list[Any]:
    """Events by type, status and reason."""
    return store.counts(tx, merchant_id)


def unreadable_counts(tx: Tx) -> list[Any]:
    """Messages without a readable identity or a known merchant, by reason."""
    return store.unreadable_counts(tx)


def unreadable(tx: Tx, limit: int) -> list[Any]:
    """Messages without a readable identity or a known merchant, newest first."""
    return store.unreadable(tx, limit)
