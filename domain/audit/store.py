"""All SQL of the audit trail."""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx


def insert(tx: Tx, **entry: Any) -> None:
    """Append one entry."""
    entry["before"] = None if entry["before"] is None else json.dumps(entry["before"], default=str)
    entry["after"] = None if entry["after"] is None else json.dumps(entry["after"], default=str)
    tx.execute(
        text(
            """
            INSERT INTO audit_entries (merchant_id, actor_kind, actor_id, action, subject_kind,
                                       subject_id, reason, before, after)
            VALUES (:merchant_id, :actor_kind, :actor_id, :action, :subject_kind, :subject_id, :reason,
                    CAST(:before AS jsonb), CAST(:after AS jsonb))
            """
        ),
        entry,
    )


def insert_each(tx: Tx, after: Mapping[int, dict[str, Any]], **entry: Any) -> None:
    """Append an entry for each subject, with one statement."""
    tx.execute(
        text(
            """
            INSERT INTO audit_entries (merchant_id, actor_kind, actor_id, action, subject_kind, subject_id,
                                       reason, after)
            SELECT NULL, :actor_kind, :actor_id, :action, :subject_kind, s.id::text, :reason, s.after::jsonb
            FROM unnest(CAST(:ids AS bigint[]), CAST(:after AS text[])) WITH ORDINALITY AS s (id, after, at)
            ORDER BY s.at
            """
        ),
        entry
        | {"ids": list(after), "after": [json.dumps(one, default=str) for one in after.values()]},
    )


def page(
    tx: Tx,
    *,
    merchant_id: int | None,
    subject: tuple[str, str] | None,
    actor: str | None,
    action: str | None,
    before: int | None,
    limit: int,
) -> list[Any]:
    """Entries with an id below ``before``, newest first; None does not narrow. ``action`` begins theirs."""
    wanted = {
        "merchant_id": merchant_id,
        "subject_kind": subject and subject[0],
        "subject_id": subject and subject[1],
        "actor": actor,
        "before": before,
    }
    clauses = {
        "merchant_id": "e.merchant_id = :merchant_id",
        "subject_kind": "e.subject_kind = :subject_kind",
        "subject_id": "e.subject_id = :subject_id",
        "actor": "e.actor_id = :actor",
        "before": "e.id < :before",
    }
    used = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(["true", *(clauses[name] for name in used)])
    if action is None:
        select = _SELECT + f"WHERE {where} ORDER BY e.id DESC LIMIT :limit"
    else:
        used["action"] = action
        select = _OF_ACTIONS.replace("$where", where).replace("$select", _SELECT)
    return list(tx.execute(text(select), used | {"limit": limit}))


_SELECT: Final = """
    SELECT e.id, m.key AS merchant, e.actor_kind, e.actor_id, e.action, e.subject_kind,
           e.subject_id, e.reason, e.before, e.after, e.created_at
    FROM audit_entries e LEFT JOIN merchants m ON m.id = e.merchant_id
"""
# The actions that there are, each found by one look behind the one before; then the newest entries of each that is
# wanted. So a rare action does not walk through the entries of all others.
_OF_ACTIONS: Final = """
    WITH RECURSIVE actions AS (
        (SELECT action FROM audit_entries ORDER BY action LIMIT 1)
        UNION ALL
        SELECT following.action FROM actions a CROSS JOIN LATERAL (
            SELECT action FROM audit_entries WHERE action > a.action ORDER BY action LIMIT 1
        ) following
    ), page AS (
        SELECT newest.id FROM actions a CROSS JOIN LATERAL (
            SELECT e.id FROM audit_entries e WHERE e.action = a.action AND $where ORDER BY e.id DESC LIMIT :limit
        ) newest
        WHERE starts_with(a.action, :action)
        ORDER BY newest.id DESC LIMIT :limit
    )
    $select WHERE e.id = ANY(ARRAY(SELECT id FROM page)) ORDER BY e.id DESC
"""


def forget(tx: Tx, merchant_id: int, who: str, fields: list[str]) -> None:
    """Take ``fields`` out of what entries say changed, where that names somebody."""
    tx.execute(
        text(
            """
            UPDATE audit_entries SET before = before - CAST(:fields AS text[]), after = after - CAST(:fields AS text[])
            WHERE merchant_id = :merchant_id
              AND (before ->> 'customer_id' = :who OR after ->> 'customer_id' = :who)
            """
        ),
        {"merchant_id": merchant_id, "who": who, "fields": fields},
    )
