"""Tables of the inbox: every event once, by (merchant, source, id), and what could not even be named."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata

inbox_events = Table(
    "inbox_events",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("source", String(255), nullable=False),
    Column("event_id", String(255), nullable=False),
    Column("type", Text, nullable=True),
    at_column("occurred_at", nullable=True),
    # Business time of reception; created_at below is real time.
    at_column("received_at"),
    # SHA-256 over the canonical JSON of merchant, type, time and data (see payspool_client.events).
    Column("content_hash", LargeBinary, nullable=False),
    # `data` as sent. NULL where it was not a JSON object; the raw text then stands in `raw`.
    Column("data", JSONB, nullable=True),
    Column("raw", Text, nullable=True),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=True),
    Column("detail", String(500), nullable=True),
    # What it waits for or was refused under, as `transaction:ord-1881`; NULL once applied.
    Column("correlation", Text, nullable=True),
    Column("attempts", Integer, nullable=False, server_default=text("1")),
    created_at(),
    UniqueConstraint("merchant_id", "source", "event_id"),
    CheckConstraint("status IN ('applied', 'rejected', 'waiting', 'dead')", name="status"),
    CheckConstraint("octet_length(content_hash) = 32", name="content_hash_length"),
    CheckConstraint("status = 'applied' OR reason IS NOT NULL", name="reason_given"),
    # Only what needs attention is indexed: the applied majority costs nothing here.
    Index(
        "ix_inbox_events_correlation",
        "merchant_id",
        "correlation",
        postgresql_where=text("correlation IS NOT NULL"),
    ),
    Index(
        "ix_inbox_events_attention",
        "status",
        "id",
        postgresql_where=text("status <> 'applied'"),
    ),
)

inbox_conflicts = Table(
    "inbox_conflicts",
    metadata,
    id_column(),
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("data", JSONB, nullable=True),
    Column("raw", Text, nullable=True),
    at_column("received_at"),
    created_at(),
    # The same other content, repeated, is shown once.
    UniqueConstraint("inbox_id", "content_hash"),
)

rejected_messages = Table(
    "rejected_messages",
    metadata,
    id_column(),
    # The queue's message id and the position in it: what has no readable identity of its own.
    Column("message_id", String(255), nullable=False),
    Column("position", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", String(500), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    at_column("received_at"),
    created_at(),
    UniqueConstraint("message_id", "position"),
)
