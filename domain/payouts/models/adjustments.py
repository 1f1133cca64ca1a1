"""Table of adjustments: what an operator adds to or takes from what a payee is owed, and why."""

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

adjustments = Table(
    "adjustments",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("currency", Text, nullable=False),
    # Signed, in minor units.
    Column("amount", BigInteger, nullable=False),
    Column("reason", String(500), nullable=False),
    # What one person may adjust alone within a week, as it was when it was proposed: beyond it a second one
    # agrees. Minor units, of either sign.
    Column("adjustment_limit", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'proposed'")),
    Column("proposed_by", String(255), nullable=False),
    Column("agreed_by", String(255), nullable=True),
    created_at(),
    at_column("decided_at", nullable=True),
    CheckConstraint("amount <> 0", name="amount_not_zero"),
    CheckConstraint("reason <> ''", name="has_reason"),
    CheckConstraint("state IN ('proposed', 'booked', 'rejected')", name="state"),
    CheckConstraint("agreed_by <> proposed_by", name="agreed_by_another"),
    CheckConstraint(
        "state <> 'booked' OR abs(amount) <= adjustment_limit OR agreed_by IS NOT NULL",
        name="large_by_two",
    ),
    Index(
        "ix_adjustments_proposed",
        "merchant_id",
        "id",
        postgresql_where=text("state = 'proposed'"),
    ),
    # Those of one person alone: their sum of a week has a limit.
    Index(
        "ix_adjustments_alone",
        "merchant_id",
        "proposed_by",
        "currency",
        "decided_at",
        postgresql_where=text("state = 'booked' AND agreed_by IS NULL"),
    ),
)
