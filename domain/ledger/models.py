"""Tables of the ledger: accounts, and transfers that move one amount from a debit to a credit account.

Every transfer row balances by construction. Rows are append-only (a trigger in the migration refuses
UPDATE, DELETE and TRUNCATE); a correction is a new row. Legs of one movement share a ``group_id``.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("kind", Text, nullable=False),
    # Who or what the account belongs to: a user id for `payable`, a method for `gateway`, else ''.
    Column("owner", String(100), nullable=False, server_default=text("''")),
    # An ISO 4217 code in lower case, or `points:<program key>`.
    Column("currency", Text, nullable=False),
    # Credits minus debits, kept for `payable` only: it is what a run locks. Merchant-wide accounts
    # would serialise every writer, so theirs is computed (NULL here).
    Column("balance", BigInteger, nullable=True),
    created_at(),
    UniqueConstraint("merchant_id", "kind", "owner", "currency"),
    # Target of the transfers' foreign keys: a transfer cannot cross merchants or currencies.
    UniqueConstraint("id", "merchant_id", "currency"),
    CheckConstraint("(kind = 'payable') = (balance IS NOT NULL)", name="balance_kept_for_payable"),
    # Balances move with every batch: with room on its page, a new version of a row needs no index entry.
    postgresql_with={"fillfactor": 60},
)

ledger_transfers = Table(
    "ledger_transfers",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("group_id", BigInteger, nullable=False),
    Column("debit_account_id", BigInteger, nullable=False),
    Column("credit_account_id", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    # What it records, in the field's words: reward, clawback, payout_reserved, points_issued, …
    Column("kind", Text, nullable=False),
    Column("source_kind", Text, nullable=False),
    Column("source_id", BigInteger, nullable=False),
    at_column("occurred_at"),
    created_at(),
    ForeignKeyConstraint(
        ["debit_account_id", "merchant_id", "currency"],
        ["ledger_accounts.id", "ledger_accounts.merchant_id", "ledger_accounts.currency"],
        name="fk_ledger_transfers_debit",
    ),
    ForeignKeyConstraint(
        ["credit_account_id", "merchant_id", "currency"],
        ["ledger_accounts.id", "ledger_accounts.merchant_id", "ledger_accounts.currency"],
        name="fk_ledger_transfers_credit",
    ),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("debit_account_id <> credit_account_id", name="two_accounts"),
    # A movement is booked once: the same source cannot book the same kind between the same accounts twice.
    UniqueConstraint("source_kind", "source_id", "kind", "debit_account_id", "credit_account_id"),
    Index("ix_ledger_transfers_debit", "debit_account_id", "id"),
    Index("ix_ledger_transfers_credit", "credit_account_id", "id"),
)

# How far each table is summed up: no row with an id up to `upto` can appear any more (see `rollups`).
rollup_marks = Table(
    "rollup_marks",
    metadata,
    Column("source", Text, primary_key=True),
    Column("upto", BigInteger, nullable=False),
    CheckConstraint("source IN ('ledger_transfers', 'ledger_accounts', 'cards')", name="source"),
)

# Accounts, and credits minus debits, of what is summed up.
ledger_rollups = Table(
    "ledger_rollups",
    metadata,
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("accounts", BigInteger, nullable=False, server_default=text("0")),
    Column("balance", BigInteger, nullable=False, server_default=text("0")),
)
