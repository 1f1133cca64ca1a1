"""Table of payments outside: who said that a payout was paid elsewhere, who agreed, and by what evidence."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

outside_payments = Table(
    "outside_payments",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("payout_id", BigInteger, ForeignKey("payouts.id"), nullable=False),
    # What the payment is called where it was made.
    Column("reference", String(255), nullable=False),
    Column("evidence", String(500), nullable=False),
    Column("proposed_by", String(255), nullable=False),
    Column("agreed_by", String(255), nullable=True),
    Column("withdrawn_by", String(255), nullable=True),
    created_at(),
    # Set by the database when the payout is paid by it.
    at_column("used_at", nullable=True),
    CheckConstraint("evidence <> '' AND reference <> ''", name="has_evidence"),
    CheckConstraint("agreed_by <> proposed_by", name="agreed_by_another"),
    CheckConstraint("used_at IS NULL OR agreed_by IS NOT NULL", name="used_by_two"),
    CheckConstraint("used_at IS NULL OR withdrawn_by IS NULL", name="used_or_withdrawn"),
    Index(
        "uq_outside_payments_open",
        "payout_id",
        unique=True,
        postgresql_where=text("used_at IS NULL AND withdrawn_by IS NULL"),
    ),
)
