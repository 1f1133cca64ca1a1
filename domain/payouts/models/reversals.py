"""Table of reversals: money of a payout that came back from its destination, and what becomes of it."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

payout_reversals = Table(
    "payout_reversals",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("payout_id", BigInteger, ForeignKey("payouts.id"), nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    # The gateway's name of it (`trr_…`): it is booked once, however often it is found.
    Column("external_id", String(255), nullable=False),
    created_at(),
    # `owed`: owed to the payee again; `kept`: the merchant keeps it; `released`: the payout came back
    # whole, and its earnings were let go. NULL: a person has to say.
    Column("decision", Text, nullable=True),
    Column("decided_by", String(255), nullable=True),
    Column("decision_reason", String(500), nullable=True),
    at_column("decided_at", nullable=True),
    UniqueConstraint("merchant_id", "external_id"),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("decision IN ('owed', 'kept', 'released')", name="decision"),
    CheckConstraint(
        "(decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL)",
        name="decided_by_whom",
    ),
    Index("ix_payout_reversals_payout", "payout_id"),
    Index(
        "ix_payout_reversals_undecided",
        "merchant_id",
        "id",
        postgresql_where=text("decision IS NULL"),
    ),
)
