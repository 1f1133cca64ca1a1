"""Holds: redemptions in two phases, and the lots that they reserve points of."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

# A hold is closed once: captured, released, or timed out. Triggers keep all else of it.
point_holds = Table(
    "point_holds",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    # The event that placed it.
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False, unique=True),
    Column("points", BigInteger, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'open'")),
    at_column("held_at"),
    # From then on it holds nothing, whether or not a sweep has closed it.
    at_column("expires_at"),
    # The reward and its cost as they were when it was placed.
    Column("reward_id", String(50), nullable=True),
    Column("reward_cost", BigInteger, nullable=True),
    Column("reward_description", String(255), nullable=True),
    at_column("closed_at", nullable=True),
    # The event that captured or released it; NULL for a time-out.
    Column("closed_inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=True),
    # The redemption that it became.
    Column("transaction_id", BigInteger, nullable=True),
    created_at(),
    CheckConstraint("points > 0", name="points_positive"),
    CheckConstraint("status IN ('open', 'captured', 'released', 'timed_out')", name="status"),
    CheckConstraint("expires_at > held_at", name="expires_later"),
    CheckConstraint("(status = 'open') = (closed_at IS NULL)", name="closed"),
    CheckConstraint(
        "(status IN ('captured', 'released')) = (closed_inbox_id IS NOT NULL)", name="closed_by"
    ),
    CheckConstraint("(status = 'captured') = (transaction_id IS NOT NULL)", name="captured"),
    # Captured once: a redemption is of one hold.
    Index(
        "uq_point_holds_transaction",
        "transaction_id",
        unique=True,
        postgresql_where=text("transaction_id IS NOT NULL"),
    ),
    Index("ix_point_holds_open", "card_id", "expires_at", postgresql_where=text("status = 'open'")),
    # What the sweep looks at.
    Index("ix_point_holds_due", "expires_at", "card_id", postgresql_where=text("status = 'open'")),
)

# Append-only: which lots a hold reserves points of.
point_hold_lots = Table(
    "point_hold_lots",
    metadata,
    Column("merchant_id", BigInteger, nullable=False),
    Column("hold_id", BigInteger, nullable=False),
    Column("lot_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    created_at(),
    PrimaryKeyConstraint("hold_id", "lot_id"),
    CheckConstraint("points > 0", name="points_positive"),
    Index("ix_point_hold_lots_lot", "lot_id"),
)
