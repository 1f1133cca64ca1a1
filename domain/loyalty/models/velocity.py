"""How fast cards, PINs, devices and addresses may be, what was counted, and what went faster."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata

loyalty_velocity_policies = Table(
    "loyalty_velocity_policies",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    # NULL: for all programs of the merchant without a policy of their own.
    Column("program_id", BigInteger, ForeignKey("loyalty_programs.id"), nullable=True),
    # domain.loyalty.rules.velocity says what each may be.
    Column("limits", JSONB, nullable=False),
    Column(
        "updated_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.statement_timestamp(),
    ),
    UniqueConstraint("merchant_id", "program_id", postgresql_nulls_not_distinct=True),
    CheckConstraint("jsonb_typeof(limits) = 'array'", name="limits"),
)

loyalty_velocity_counts = Table(
    "loyalty_velocity_counts",
    metadata,
    Column("policy_id", BigInteger, ForeignKey("loyalty_velocity_policies.id"), nullable=False),
    Column("per", Text, nullable=False),
    # A card's id, the key of a PIN or a device, the hash of an address.
    Column("subject", String(100), nullable=False),
    Column("what", Text, nullable=False),
    Column("minutes", Integer, nullable=False),
    at_column("starts_at"),
    Column("acts", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    PrimaryKeyConstraint("policy_id", "per", "subject", "what", "minutes", "starts_at"),
    CheckConstraint("per IN ('card', 'pin', 'device', 'address')", name="per"),
    CheckConstraint("what IN ('earn', 'redeem')", name="what"),
    CheckConstraint("least(acts, points) >= 0", name="counted"),
    Index("ix_loyalty_velocity_counts_starts_at", "starts_at"),
)

# What was found never changes; it is released or rejected once, by a person.
loyalty_velocity_cases = Table(
    "loyalty_velocity_cases",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False, unique=True),
    # hold: nothing is booked until it is released. flag: it is booked.
    Column("action", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    # The limits that it broke, each with what was reached.
    Column("evidence", JSONB, nullable=False),
    at_column("found_at"),
    Column("outcome", Text, nullable=True),
    at_column("closed_at", nullable=True),
    Column("closed_by", String(255), nullable=True),
    Column("close_reason", String(500), nullable=True),
    created_at(),
    CheckConstraint("action IN ('hold', 'flag')", name="action"),
    CheckConstraint("jsonb_array_length(evidence) > 0", name="evidence"),
    CheckConstraint("outcome IN ('released', 'rejected')", name="outcome"),
    CheckConstraint(
        "num_nulls(outcome, closed_at, closed_by, close_reason) IN (0, 4)", name="closed"
    ),
    Index("ix_loyalty_velocity_cases_merchant", "merchant_id", "id"),
    # Those that ended, among those that are open: a page of them does not walk through the rest.
    Index(
        "ix_loyalty_velocity_cases_ended",
        "merchant_id",
        "id",
        postgresql_where=text("outcome IS NOT NULL"),
    ),
    # How many wait, of either kind, and since when.
    Index(
        "ix_loyalty_velocity_cases_waiting",
        "action",
        "created_at",
        postgresql_where=text("outcome IS NULL"),
    ),
    Index(
        "ix_loyalty_velocity_cases_open",
        "merchant_id",
        "id",
        postgresql_where=text("outcome IS NULL"),
    ),
)
