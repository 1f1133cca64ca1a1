"""Merges of cards: what went from one to the other."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
)

from domain.db import at_column, created_at, metadata

# Append-only: a card is merged once.
card_merges = Table(
    "card_merges",
    metadata,
    Column("card_id", BigInteger, autoincrement=False, nullable=False),
    Column("merchant_id", BigInteger, nullable=False),
    Column("into_card_id", BigInteger, nullable=False),
    # Left in its lots, which moved; and what it owed, which the survivor paid or owes.
    Column("points", BigInteger, nullable=False),
    Column("debt", BigInteger, nullable=False),
    Column("stamps", BigInteger, nullable=False),
    # Open holds that moved with their lots.
    Column("holds", BigInteger, nullable=False),
    # The rows that tell of the points on either card.
    Column("debit_transaction_id", BigInteger, nullable=True),
    Column("credit_transaction_id", BigInteger, nullable=True),
    Column("reason", String(500), nullable=False),
    # Business time.
    at_column("merged_at"),
    created_at(),
    PrimaryKeyConstraint("card_id"),
    CheckConstraint("points >= 0 AND debt >= 0 AND stamps >= 0 AND holds >= 0", name="amounts"),
    CheckConstraint("card_id <> into_card_id", name="other_card"),
    CheckConstraint(
        "(points > 0) = (debit_transaction_id IS NOT NULL)"
        " AND (points > 0) = (credit_transaction_id IS NOT NULL)",
        name="moves",
    ),
    Index("ix_card_merges_into", "into_card_id"),
)
