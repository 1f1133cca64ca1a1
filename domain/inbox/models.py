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
    Index(
        "ix_inbox_events_attention_of",
        "merchant_id",
        "status",
        "reason",
        "id",
        postgresql_where=text("status <> 'applied'"),
    ),
    Index(
        "ix_inbox_events_attention_type",
        "merchant_id",
        "status",
        "type",
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

inbox_revisions = Table(
    "inbox_revisions",
    metadata,
    id_column(),
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False),
    # 1 is what the producer sent; the highest is what `inbox_events` holds. An event that nobody
    # edited has no rows here.
    Column("revision", Integer, nullable=False),
    Column("type", Text, nullable=True),
    at_column("occurred_at", nullable=True),
    Column("content_hash", LargeBinary, nullable=False),
    Column("data", JSONB, nullable=True),
    Column("raw", Text, nullable=True),
    # Who made it and why; NULL for the producer's own.
    Column("actor_kind", Text, nullable=True),
    Column("actor_id", String(255), nullable=True),
    Column("reason", Text, nullable=True),
    created_at(),
    UniqueConstraint("inbox_id", "revision"),
    CheckConstraint("octet_length(content_hash) = 32", name="content_hash_length"),
    CheckConstraint("revision >= 1", name="revision_counts"),
    CheckConstraint(
        "revision = 1 OR (actor_kind IS NOT NULL AND actor_id IS NOT NULL AND reason IS NOT NULL)",
        name="author_named",
    ),
)

rejected_messages = Table(
    "rejected_messages",
    metadata,
    id_column(),
    # The first message that brought it, and the position in it. A producer names its messages, so that
    # no row can be told apart by these: what has no readable identity is named by its bytes.
    Column("message_id", String(255), nullable=False),
    Column("position", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", String(500), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    # SHA-256 of `raw`: the same text, sent again, stays one row.
    Column("raw_hash", LargeBinary, nullable=False),
    at_column("received_at"),
    created_at(),
    UniqueConstraint("raw_hash"),
    CheckConstraint("octet_length(raw_hash) = 32", name="raw_hash_length"),
)
