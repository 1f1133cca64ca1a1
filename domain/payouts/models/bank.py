"""Tables of bank payments: where payees get them, what they are paid from, and the files that asked a
bank for them.

Bank data is encrypted; beside it stand a hint for people and a keyed fingerprint.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
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
    # Wise's number of it, and the profile that it was made for.
    Column("external_id", String(255), nullable=True),
    Column("platform_account", String(255), nullable=True),
    CheckConstraint("method IN ('wise', 'manual')", name="method"),
    CheckConstraint(
        "method <> 'wise' OR (external_id IS NOT NULL AND platform_account IS NOT NULL)",
        name="wise_is_named",
    ),
    Index("ix_payee_recipients_payee", "payee_id", "id"),
    Index("ix_payee_recipients_fingerprint", "fingerprint"),
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
    CheckConstraint("format IN ('csv', 'pain.001')", name="format"),
    Index("ix_bank_files_run", "run_id", "id"),
    Index("ix_bank_files_merchant", "merchant_id", "id"),
)

bank_file_payouts = Table(
    "bank_file_payouts",
    metadata,
    Column("bank_file_id", BigInteger, ForeignKey("bank_files.id"), nullable=False),
    Column("attempt_id", BigInteger, ForeignKey("payout_attempts.id"), nullable=False, unique=True),
    # The batch of the file that the payout is in: a bank may book a batch as one amount.
    Column("batch", Integer, nullable=False, server_default=text("1")),
    PrimaryKeyConstraint("bank_file_id", "attempt_id"),
    CheckConstraint("batch > 0", name="batch"),
)

debtor_accounts = Table(
    "debtor_accounts",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    # The newest of a merchant and currency counts.
    Column("currency", Text, nullable=False),
    Column("data_encrypted", LargeBinary, nullable=False),
    Column("hint", String(50), nullable=False),
    Column("created_by", String(255), nullable=False),
    created_at(),
    Index("ix_debtor_accounts_merchant", "merchant_id", "currency", "id"),
)
