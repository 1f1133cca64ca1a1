"""Tables of reconciliation: the gateway's books as it showed them, each comparison, and what differed."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata

gateway_transactions = Table(
    "gateway_transactions",
    metadata,
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("platform_account", String(255), nullable=False),
    # The gateway's name of the line in its books, as `txn_…`, and its own word for what it is.
    Column("external_id", String(255), nullable=False),
    Column("type", Text, nullable=False),
    # What the line is about (`tr_…`, `trr_…`, `po_…`), and the transfer that it makes or reverses.
    Column("source_id", String(255), nullable=True),
    Column("transfer_id", String(255), nullable=True),
    Column("destination", String(255), nullable=True),
    # The transfer's metadata, as found: anybody with a key can write it. No foreign key for that reason.
    Column("installation", Text, nullable=True),
    Column("payout_id", BigInteger, nullable=True),
    Column("attempt_key", Text, nullable=True),
    # Signed, in minor units: what left the balance is negative.
    Column("amount", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("net", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    # By the gateway's clock.
    at_column("created"),
    at_column("available_on"),
    created_at(),
    PrimaryKeyConstraint("merchant_id", "method", "platform_account", "external_id"),
    Index(
        "ix_gateway_transactions_created", "merchant_id", "method", "platform_account", "created"
    ),
    Index(
        "ix_gateway_transactions_transfer",
        "merchant_id",
        "transfer_id",
        postgresql_where=text("transfer_id IS NOT NULL"),
    ),
    Index(
        "ix_gateway_transactions_payout",
        "merchant_id",
        "payout_id",
        postgresql_where=text("payout_id IS NOT NULL"),
    ),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("platform_account", String(255), nullable=False),
    Column("state", Text, nullable=False, server_default=text("'running'")),
    # Lines of the gateway's books from `from_at` on and before `to_at`, by the gateway's clock.
    at_column("from_at"),
    at_column("to_at"),
    # Our attempts that were settled before this (real time) have to be among them.
    at_column("settled_before"),
    # Nothing before `from_at` is unread: the next one may begin where this one ended.
    Column("continues", Boolean, nullable=False),
    # The last line that was read; lines come newest first.
    Column("cursor", String(255), nullable=True),
    Column("read_all", Boolean, nullable=False, server_default=text("false")),
    Column("transactions", BigInteger, nullable=False, server_default=text("0")),
    Column("result", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    created_at(),
    at_column("finished_at", nullable=True),
    CheckConstraint("state IN ('running', 'done')", name="state"),
    CheckConstraint("from_at < to_at", name="window"),
    CheckConstraint("(state = 'done') = (finished_at IS NOT NULL)", name="finished_when"),
    Index(
        "uq_reconciliations_running",
        "merchant_id",
        "method",
        "platform_account",
        unique=True,
        postgresql_where=text("state = 'running'"),
    ),
)

payout_differences = Table(
    "payout_differences",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("platform_account", String(255), nullable=False),
    Column("kind", Text, nullable=False),
    # What differs, so that it is raised once: `attempt 7`, `payout 3`, `tr_…`, `usd 2026-06-01`.
    Column("subject", String(300), nullable=False),
    Column("currency", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("payout_id", BigInteger, ForeignKey("payouts.id"), nullable=True),
    Column("attempt_id", BigInteger, ForeignKey("payout_attempts.id"), nullable=True),
    Column("external_id", String(255), nullable=True),
    # Amounts in minor units, or a currency or destination; NULL: there is nothing on that side.
    Column("ours", Text, nullable=True),
    Column("theirs", Text, nullable=True),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    at_column("first_seen"),
    at_column("last_seen"),
    # NULL of what a connected account shows: no reconciliation finds it, and none resolves it.
    Column("last_run_id", BigInteger, ForeignKey("reconciliations.id"), nullable=True),
    Column("resolved_by", String(255), nullable=True),
    at_column("resolved_at", nullable=True),
    Column("resolved_note", String(500), nullable=True),
    UniqueConstraint(
        "merchant_id",
        "method",
        "platform_account",
        "kind",
        "subject",
        name="uq_payout_differences_subject",
    ),
    CheckConstraint(
        "kind IN ('missing_there', 'missing_here', 'amount', 'currency', 'destination', 'fee', 'day_sum',"
        " 'paid_twice', 'paid_after_all', 'bank_missing_here')",
        name="kind",
    ),
    CheckConstraint(
        "(last_run_id IS NULL) = (kind = 'bank_missing_here')",
        name="found_by",
    ),
    CheckConstraint("state IN ('open', 'resolved')", name="state"),
    CheckConstraint(
        "(state = 'resolved') = (resolved_by IS NOT NULL AND resolved_at IS NOT NULL AND resolved_note <> '')",
        name="resolved_by_whom",
    ),
    Index(
        "ix_payout_differences_open",
        "merchant_id",
        "id",
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "ix_payout_differences_external",
        "merchant_id",
        "external_id",
        postgresql_where=text("external_id IS NOT NULL"),
    ),
)
