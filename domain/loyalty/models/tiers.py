"""Tiers of cards, every change of them, and the notices of those that are about to fall."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from domain.db import at_column, created_at, id_column, metadata
from domain.loyalty.models.cards import CARD_FILLFACTOR

# The tier as of the last event that was counted, of cards in programs with tiers.
card_tiers = Table(
    "card_tiers",
    metadata,
    Column("card_id", BigInteger, nullable=False, autoincrement=False),
    Column("merchant_id", BigInteger, nullable=False),
    # NULL: none.
    Column("tier", String(50), nullable=True),
    # Earned in the period, as of then.
    Column("points", BigInteger, nullable=False),
    # How many changes there were.
    Column("changes", Integer, nullable=False),
    # When it is to be counted anew if nothing happens before: the end of a period.
    at_column("due_at", nullable=True),
    # The version of the program that brought the tiers which it was counted under: an older one is due at once.
    Column("terms", Integer, nullable=False, server_default=text("1")),
    created_at(),
    PrimaryKeyConstraint("card_id"),
    CheckConstraint("points >= 0 AND changes >= 0", name="counts"),
    Index(
        "ix_card_tiers_due", "merchant_id", "card_id", postgresql_where=text("due_at IS NOT NULL")
    ),
    postgresql_with={"fillfactor": CARD_FILLFACTOR},
)

# Append-only: 1, 2, 3 … for each card, each from the tier that the one before it gave.
tier_changes = Table(
    "tier_changes",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, autoincrement=False, nullable=False),
    Column("number", Integer, nullable=False),
    Column("from_tier", String(50), nullable=True),
    Column("to_tier", String(50), nullable=True),
    Column("reason", Text, nullable=False),
    # Earned in the period by then.
    Column("points", BigInteger, nullable=False),
    Column("program_version", Integer, nullable=False),
    # The row that brought it about; NULL where the end of a period or an operator did.
    Column("transaction_id", BigInteger, nullable=True),
    # Business time.
    at_column("changed_at"),
    created_at(),
    UniqueConstraint("card_id", "number"),
    CheckConstraint(
        "from_tier IS DISTINCT FROM to_tier AND number > 0 AND points >= 0", name="changes"
    ),
    CheckConstraint(
        "reason IN ('earned', 'taken_back', 'period', 'terms', 'merged')", name="reason"
    ),
    CheckConstraint(
        "(reason IN ('earned', 'taken_back')) = (transaction_id IS NOT NULL)", name="cause"
    ),
    Index("ix_tier_changes_merchant", "merchant_id", "id"),
)

# Append-only: once for each card, tier and end.
tier_notices = Table(
    "tier_notices",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, autoincrement=False, nullable=False),
    Column("from_tier", String(50), nullable=False),
    Column("to_tier", String(50), nullable=True),
    # UTC, exclusive.
    at_column("falls_at"),
    # Earned in the period, and what is to be earned before it falls to keep it, as of the notice.
    Column("points", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    # Business time.
    at_column("noticed_at"),
    created_at(),
    UniqueConstraint("card_id", "falls_at", "from_tier"),
    CheckConstraint(
        "from_tier IS DISTINCT FROM to_tier AND missing > 0 AND points >= 0", name="falls"
    ),
    CheckConstraint("noticed_at < falls_at", name="ahead"),
    Index("ix_tier_notices_merchant", "merchant_id", "id"),
)
