"""Tables of bank statements: each reading of one, and the entries that said something about a payout.

Both are facts: rows are added and never changed. Entries about anything else are not kept.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from domain.db import created_at, id_column, metadata

bank_statements = Table(
    "bank_statements",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("format", Text, nullable=False),
    # SHA-256 of the file.
    Column("sha256", LargeBinary, nullable=False),
    Column("created_by", String(255), nullable=False),
    created_at(),
    CheckConstraint("format IN ('csv', 'camt')", name="format"),
    Index("ix_bank_statements_merchant", "merchant_id", "id"),
)

bank_statement_entries = Table(
    "bank_statement_entries",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("statement_id", BigInteger, ForeignKey("bank_statements.id"), nullable=False),
    # SHA-256 of what the statement says of it: the same entry in another file is the same key.
    Column("entry_key", LargeBinary, nullable=False),
    Column("attempt_id", BigInteger, ForeignKey("payout_attempts.id"), nullable=False),
    # `paid`; `refused`: it came back before anybody had seen it booked; `returned`: after it was paid.
    Column("kind", Text, nullable=False),
    # Of the payout, in minor units: a batch is one row a payout.
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("bank_reference", String(255), nullable=False),
    Column("reason", String(500), nullable=True),
    created_at(),
    UniqueConstraint("merchant_id", "entry_key", "attempt_id"),
    CheckConstraint("kind IN ('paid', 'refused', 'returned')", name="kind"),
    CheckConstraint("amount > 0", name="amount_positive"),
    Index("ix_bank_statement_entries_attempt", "attempt_id"),
    Index("ix_bank_statement_entries_statement", "statement_id", "kind"),
)
