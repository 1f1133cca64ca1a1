"""Which cards came from another system."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)

from domain.db import created_at, metadata

# Append-only: under the number that a card had there, for ever.
imported_cards = Table(
    "imported_cards",
    metadata,
    Column("merchant_id", BigInteger, nullable=False),
    Column("number", String(50), nullable=False),
    Column("card_id", BigInteger, nullable=False),
    # SHA-256 of what the file said of it.
    Column("content_hash", LargeBinary, nullable=False),
    created_at(),
    PrimaryKeyConstraint("merchant_id", "number"),
    UniqueConstraint("card_id"),
    CheckConstraint("length(content_hash) = 32", name="content_hash"),
)
