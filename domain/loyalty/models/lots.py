"""Lots, what was taken from them and given back, debts, and refunds of purchases."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata

LOT_FILLFACTOR: Final = 85
"""Room on each page for the next version of a row, so that an update need not touch the indexes."""

# Each credit is a lot; only `remaining` and `held` ever change.
point_lots = Table(
    "point_lots",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("transaction_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    # Reserved by a redemption that is not captured yet; spendable is remaining − held.
    Column("held", BigInteger, nullable=False, server_default=text("0")),
    at_column("occurred_at"),
    at_column("available_at"),
    # The lot's own deadline; NULL where only the card's counts.
    at_column("expires_at", nullable=True),
    # The terms it was earned under, so that a later version of the program does not change them.
    Column("policy", JSONB, nullable=False),
    created_at(),
    CheckConstraint("points > 0", name="points_positive"),
    CheckConstraint("remaining BETWEEN 0 AND points", name="remaining"),
    CheckConstraint("held BETWEEN 0 AND remaining", name="held"),
    # What a debit looks at: the open lots of a card in the order of consumption.
    Index(
        "ix_point_lots_open",
        "card_id",
        "expires_at",
        "occurred_at",
        "id",
        postgresql_where=text("remaining > 0"),
    ),
    Index("ix_point_lots_transaction", "transaction_id"),
    postgresql_with={"fillfactor": LOT_FILLFACTOR},
)

# Append-only: which lots a debit consumed, so that any reversal is exact.
lot_allocations = Table(
    "lot_allocations",
    metadata,
    Column("merchant_id", BigInteger, nullable=False),
    Column("debit_transaction_id", BigInteger, nullable=False),
    Column("lot_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    created_at(),
    PrimaryKeyConstraint("debit_transaction_id", "lot_id"),
    CheckConstraint("points > 0", name="points_positive"),
    Index("ix_lot_allocations_lot", "lot_id"),
)

# What a debit took beyond the card's lots; only `remaining` ever changes.
point_debts = Table(
    "point_debts",
    metadata,
    Column("transaction_id", BigInteger, nullable=False),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    created_at(),
    PrimaryKeyConstraint("transaction_id"),
    CheckConstraint("points > 0", name="points_positive"),
    CheckConstraint("remaining BETWEEN 0 AND points", name="remaining"),
    Index(
        "ix_point_debts_open", "card_id", "transaction_id", postgresql_where=text("remaining > 0")
    ),
)

# Append-only: which debts a credit paid, and from which lot.
debt_repayments = Table(
    "debt_repayments",
    metadata,
    Column("merchant_id", BigInteger, nullable=False),
    Column("credit_transaction_id", BigInteger, nullable=False),
    Column("debit_transaction_id", BigInteger, nullable=False),
    Column("lot_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    created_at(),
    PrimaryKeyConstraint("credit_transaction_id", "debit_transaction_id", "lot_id"),
    CheckConstraint("points > 0", name="points_positive"),
    Index("ix_debt_repayments_debit", "debit_transaction_id"),
    Index("ix_debt_repayments_lot", "lot_id"),
)

# Append-only: what a credit gave back to the lots that a debit had taken from.
lot_restorations = Table(
    "lot_restorations",
    metadata,
    Column("merchant_id", BigInteger, nullable=False),
    Column("credit_transaction_id", BigInteger, nullable=False),
    Column("debit_transaction_id", BigInteger, nullable=False),
    Column("lot_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    created_at(),
    PrimaryKeyConstraint("credit_transaction_id", "lot_id"),
    CheckConstraint("points > 0", name="points_positive"),
    Index("ix_lot_restorations_debit", "debit_transaction_id", "lot_id"),
    Index("ix_lot_restorations_lot", "lot_id"),
)

# Append-only: each refund of an order, once, so that ten refunds of a tenth take all.
loyalty_refunds = Table(
    "loyalty_refunds",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    Column("order_reference", String(100), nullable=False),
    Column("refund_id", String(255), nullable=False),
    # Minor units of the purchase's currency.
    Column("amount", BigInteger, nullable=False),
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False),
    created_at(),
    UniqueConstraint("card_id", "order_reference", "refund_id"),
    CheckConstraint("amount > 0", name="amount_positive"),
    Index("ix_loyalty_refunds_inbox", "inbox_id", unique=True),
)
