"""Tables of bank payments: where payees get them, and the files that asked a bank for them.

Bank data is encrypted; beside it stand a hint for people and a keyed fingerprint.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import created_at, id_column, metadata

payee_recipients = Table(
    "payee_recipients",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("payee_id", BigInteger, ForeignKey("payees.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("data_encrypted", LargeBinary, nullable=False),
    # As `DE89 … 3000`.
    Column("hint", String(50), nullable=False),
    # HMAC-SHA256 of the destination under the newest secret key; made again at a reseal.
    Column("fingerprint", LargeBinary, nullable=False),
    Column("created_by", String(255), nullable=False),
    created_at(),
    CheckConstraint("method IN ('wise', 'manual')", name="method"),
    Index("ix_payee_recipients_payee", "payee_id", "id"),
)

bank_files = Table(
    "bank_files",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("run_id", BigInteger, ForeignKey("payout_runs.id"), nullable=False),
    Column("format", Text, nullable=False),
    # {"usd": {"payouts": 2, "amount": 3000}}, amounts in minor units.
    Column("totals", JSONB, nullable=False),
    # SHA-256 of the content before it was encrypted.
    Column("sha256", LargeBinary, nullable=False),
    Column("content_encrypted", LargeBinary, nullable=False),
    Column("created_by", String(255), nullable=False),
    created_at(),
    CheckConstraint("format = 'csv'", name="format"),
    Index("ix_bank_files_run", "run_id", "id"),
)

bank_file_payouts = Table(
    "bank_file_payouts",
    metadata,
    Column("bank_file_id", BigInteger, ForeignKey("bank_files.id"), nullable=False),
    Column("attempt_id", BigInteger, ForeignKey("payout_attempts.id"), nullable=False, unique=True),
    PrimaryKeyConstraint("bank_file_id", "attempt_id"),
)
