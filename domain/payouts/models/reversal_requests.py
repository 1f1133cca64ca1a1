"""Table of what operators ask a gateway to take back of a payout."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata

reversal_requests = Table(
    "reversal_requests",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("payout_id", BigInteger, ForeignKey("payouts.id"), nullable=False),
    # The attempt that paid it.
    Column("attempt_id", BigInteger, ForeignKey("payout_attempts.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("reason", String(500), nullable=False),
    Column("asked_by", String(255), nullable=False),
    # `payspool/<installation>/<payout>/reverse/<n>`
    Column("idempotency_key", String(255), nullable=False, unique=True),
    # The transfer at the gateway, and the account there that made it: only that one can take it back.
    Column("transfer", String(255), nullable=False),
    Column("platform_account", String(255), nullable=False),
    # Exactly what is sent, and its hash; fixed with the first send, and replayed as it is.
    Column("params", JSONB, nullable=True),
    Column("params_hash", LargeBinary, nullable=True),
    Column("api_version", Text, nullable=True),
    Column("state", Text, nullable=False, server_default=text("'created'")),
    # Real time, by PostgreSQL's clock.
    at_column("lease_until", nullable=True),
    at_column("sent_at", nullable=True),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    at_column("next_try_at", nullable=True),
    # When the sweep asks again if nothing happened until then, and how often it did.
    at_column("look_at", nullable=True),
    Column("emit_count", Integer, nullable=False, server_default=text("0")),
    # A sentence for people: why nothing happens to it now.
    Column("waits_for", String(500), nullable=True),
    at_column("resolved_at", nullable=True),
    # The gateway's name of the reversal (`trr_…`), under which it is booked in `payout_reversals`.
    Column("external_id", String(255), nullable=True),
    Column("outcome", Text, nullable=True),
    Column("http_status", Integer, nullable=True),
    Column("error_code", Text, nullable=True),
    Column("error_message", String(500), nullable=True),
    Column("replayed", Boolean, nullable=True),
    # Giving up one whose outcome nobody can find out takes two people and evidence.
    Column("abandon_proposed_by", String(255), nullable=True),
    Column("abandon_evidence", String(500), nullable=True),
    Column("abandon_agreed_by", String(255), nullable=True),
    # What was seen, try by try, newest last, bounded.
    Column("history", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    created_at(),
    UniqueConstraint("payout_id", "n"),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("n > 0", name="n_positive"),
    CheckConstraint("reason <> ''", name="has_reason"),
    CheckConstraint(
        "state IN ('created', 'sending', 'succeeded', 'failed', 'unknown')", name="state"
    ),
    CheckConstraint("state <> 'succeeded' OR external_id IS NOT NULL", name="success_is_named"),
    CheckConstraint(
        "state IN ('created', 'failed') OR (params IS NOT NULL AND params_hash IS NOT NULL"
        " AND api_version IS NOT NULL AND sent_at IS NOT NULL)",
        name="sent_as_kept",
    ),
    CheckConstraint(
        "error_code IS DISTINCT FROM 'abandoned' OR (abandon_evidence <> ''"
        " AND abandon_proposed_by <> abandon_agreed_by) IS TRUE",
        name="abandoned_by_two",
    ),
    # One alone may be on its way.
    Index(
        "uq_reversal_requests_live",
        "payout_id",
        unique=True,
        postgresql_where=text("state IN ('created', 'sending', 'unknown')"),
    ),
    Index(
        "uq_reversal_requests_external",
        "merchant_id",
        "external_id",
        unique=True,
        postgresql_where=text("external_id IS NOT NULL"),
    ),
    Index("ix_reversal_requests_look_at", "look_at", postgresql_where=text("look_at IS NOT NULL")),
    Index("ix_reversal_requests_page", "merchant_id", "id"),
)
