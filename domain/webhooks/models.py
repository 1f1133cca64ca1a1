"""Tables of outbound webhooks: endpoints, events, their deliveries and the attempts at these.

Events and deliveries are written by the database itself, in the transaction that changes what they tell of
(migrations/sql/0003/86_webhook_endpoints.sql): no road to a change can forget to tell it.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy import DateTime as Timestamp
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("url", String(500), nullable=False),
    Column("description", String(255), nullable=False, server_default=""),
    # What it is told of; `*` for everything.
    Column("types", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False, server_default="enabled"),
    # Fernet tokens under PAYSPOOL_SECRET_KEYS. The old one signs too until its time is over.
    Column("secret_encrypted", LargeBinary, nullable=False),
    Column("old_secret_encrypted", LargeBinary, nullable=True),
    at_column("old_secret_until", nullable=True),
    # Attempts that failed in a row, since when, and until when it is left alone for that.
    Column("failures", Integer, nullable=False, server_default=text("0")),
    at_column("failing_since", nullable=True),
    at_column("quiet_until", nullable=True),
    at_column("disabled_at", nullable=True),
    Column("disabled_by", String(255), nullable=True),
    Column("disabled_reason", String(500), nullable=True),
    created_at(),
    UniqueConstraint("id", "merchant_id", name="uq_webhook_endpoints_id_merchant_id"),
    CheckConstraint("state IN ('enabled', 'disabled', 'removed')", name="state"),
    CheckConstraint("cardinality(types) > 0", name="types"),
    CheckConstraint(
        "(old_secret_encrypted IS NULL) = (old_secret_until IS NULL)", name="old_secret_ends"
    ),
    CheckConstraint(
        "failures >= 0 AND (failures > 0) = (failing_since IS NOT NULL)", name="failing"
    ),
    CheckConstraint(
        "(state = 'enabled') = (num_nonnulls(disabled_at, disabled_by, disabled_reason) = 0)"
        " AND num_nonnulls(disabled_at, disabled_by, disabled_reason) IN (0, 3)",
        name="disabled_says_why",
    ),
    Index("ix_webhook_endpoints_merchant_id", "merchant_id", "id"),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    id_column(),
    # The id that receivers see. Random: ids of a database that was restored would come again.
    Column(
        "uid",
        Text,
        nullable=False,
        unique=True,
        server_default=text("'evt_' || replace(gen_random_uuid()::text, '-', '')"),
    ),
    Column("merchant_id", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    # Ids and amounts in minor units; a card by its number alone, nothing else of a person.
    Column("data", JSONB, nullable=False),
    created_at(),
    UniqueConstraint("id", "merchant_id", name="uq_webhook_events_id_merchant_id"),
    Index("ix_webhook_events_created_at", "created_at"),
    Index(
        "ix_webhook_events_card",
        "merchant_id",
        text("(data ->> 'card')"),
        postgresql_where=text("data ? 'card'"),
    ),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("endpoint_id", BigInteger, nullable=False),
    Column("event_id", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    # Of the present round: a resend begins another.
    Column("tries", Integer, nullable=False, server_default=text("0")),
    # Real time. While it is claimed, when the claim ends: what a killed courier held is due again then.
    Column(
        "due_at",
        Timestamp(timezone=True),
        nullable=False,
        server_default=func.statement_timestamp(),
    ),
    # Counts claims: whoever comes back late finds another number, and decides nothing.
    Column("claim", BigInteger, nullable=False, server_default=text("0")),
    at_column("claimed_until", nullable=True),
    # Of the last attempt.
    Column("status", Integer, nullable=True),
    Column("error", String(300), nullable=True),
    at_column("settled_at", nullable=True),
    created_at(),
    UniqueConstraint("event_id", "endpoint_id", name="uq_webhook_deliveries_event_id_endpoint_id"),
    ForeignKeyConstraint(
        ["endpoint_id", "merchant_id"],
        ["webhook_endpoints.id", "webhook_endpoints.merchant_id"],
        name="fk_webhook_deliveries_endpoint",
    ),
    ForeignKeyConstraint(
        ["event_id", "merchant_id"],
        ["webhook_events.id", "webhook_events.merchant_id"],
        name="fk_webhook_deliveries_event",
    ),
    CheckConstraint("state IN ('pending', 'delivered', 'failed', 'canceled')", name="state"),
    CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name="settled"),
    CheckConstraint("claimed_until IS NULL OR state = 'pending'", name="claimed"),
    Index(
        "ix_webhook_deliveries_due",
        "endpoint_id",
        "due_at",
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_webhook_deliveries_claimed",
        "endpoint_id",
        "claimed_until",
        postgresql_where=text("claimed_until IS NOT NULL"),
    ),
    Index("ix_webhook_deliveries_endpoint", "endpoint_id", "id"),
    Index("ix_webhook_deliveries_merchant", "merchant_id", "id"),
    Index(
        "ix_webhook_deliveries_failed",
        "endpoint_id",
        "created_at",
        postgresql_where=text("state = 'failed'"),
    ),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    id_column(),
    Column("delivery_id", BigInteger, ForeignKey("webhook_deliveries.id"), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=True),
    Column("milliseconds", Integer, nullable=False),
    Column("error", String(300), nullable=True),
    # The beginning of what the receiver answered; emptied when the card's customer is anonymized.
    Column("response", String(1000), nullable=True),
    at_column("sent_at"),
    created_at(),
    Index("ix_webhook_attempts_delivery_id", "delivery_id", "id"),
)
