"""All SQL of the audit trail."""

import json
from typing import Any

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
