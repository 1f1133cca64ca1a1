"""Table of unfreezes: who let a stopped payout go on, who agreed, and what they had looked at."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

payout_unfreezes = Table(
    "payout_unfreezes",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("payout_id", BigInteger, ForeignKey("payouts.id"), nullable=False),
    # What had stopped it: an agreement is about this, and about nothing that stops it later.
    Column("frozen_reason", Text, nullable=False),
    Column("evidence", String(500), nullable=False),
    Column("proposed_by", String(255), nullable=False),
    Column("agreed_by", String(255), nullable=True),
    created_at(),
    # Set by the database when the payout goes on.
    at_column("used_at", nullable=True),
    CheckConstraint("evidence <> ''", name="has_evidence"),
    CheckConstraint("agreed_by <> proposed_by", name="agreed_by_another"),
    CheckConstraint("used_at IS NULL OR agreed_by IS NOT NULL", name="used_by_two"),
    Index(
        "uq_payout_unfreezes_open",
        "payout_id",
        unique=True,
        postgresql_where=text("used_at IS NULL"),
    ),
)
