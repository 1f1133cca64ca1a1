"""Table of the audit trail: who did what, when, before and after. Append-only by trigger."""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import created_at, id_column, metadata

audit_entries = Table(
    "audit_entries",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=True),
    # `person`, `api_key`, `scheduler`, `worker`, `command`
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", String(255), nullable=False),
    # subject.verb, as `payout.canceled`
    Column("action", Text, nullable=False),
    Column("subject_kind", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("reason", Text, nullable=True),
    Column("before", JSONB, nullable=True),
    Column("after", JSONB, nullable=True),
    created_at(),
    Index("ix_audit_entries_subject", "subject_kind", "subject_id", "id"),
    Index("ix_audit_entries_merchant", "merchant_id", "id"),
    Index("ix_audit_entries_actor", "actor_id", "id"),
    Index("ix_audit_entries_action", "action", "id"),
)
