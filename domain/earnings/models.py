"""Tables of earnings: what is payable, signed, to whom and from when.

Referrals, loyalty and operators put earnings here; payouts claim them. ``payout_id`` is the claim; a
trigger in the migration lets an earning leave a payout only while that payout is canceled or reversed,
and keeps amount, payee and source as they were written.
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

earnings = Table(
    "earnings",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("user_id", String(100), nullable=False),
    # The payee's `payable` ledger account: one per user and currency, and what a run locks.
    Column("account_id", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("source_kind", Text, nullable=False),
    Column("source_id", BigInteger, nullable=False),
    # A debit names the earning that it reverses.
    Column("reverses_id", BigInteger, ForeignKey("earnings.id"), nullable=True),
    Column("method", Text, nullable=True),
    at_column("available_at"),
    at_column("held_at", nullable=True),
    Column("hold_reason", Text, nullable=True),
    at_column("voided_at", nullable=True),
    Column("payout_id", BigInteger, ForeignKey("payouts.id"), nullable=True),
    created_at(),
    # An earning cannot cross merchants or currencies.
    ForeignKeyConstraint(
        ["account_id", "merchant_id", "currency"],
        ["ledger_accounts.id", "ledger_accounts.merchant_id", "ledger_accounts.currency"],
        name="fk_earnings_account",
    ),
    CheckConstraint("amount <> 0", name="amount_not_zero"),
    CheckConstraint(
        "kind IN ('reward', 'referee_reward', 'clawback', 'referee_clawback', 'adjustment', 'cash_redemption',"
        " 'carry_over')",
        name="kind",
    ),
    CheckConstraint(
        "kind IN ('adjustment', 'carry_over') OR (amount < 0) = (kind IN ('clawback', 'referee_clawback'))",
        name="sign_by_kind",
    ),
    CheckConstraint(
        "(kind IN ('clawback', 'referee_clawback')) = (reverses_id IS NOT NULL)",
        name="clawback_names_its_earning",
    ),
    CheckConstraint("voided_at IS NULL OR payout_id IS NULL", name="void_is_unclaimed"),
    CheckConstraint("(held_at IS NULL) = (hold_reason IS NULL)", name="hold_has_reason"),
    # Exactly once: one source gives one earning of a kind.
    UniqueConstraint("source_kind", "source_id", "kind"),
    # What a run looks at: the unclaimed of an account.
    Index(
        "ix_earnings_unclaimed",
        "merchant_id",
        "account_id",
        "available_at",
        postgresql_where=text("payout_id IS NULL AND voided_at IS NULL"),
    ),
    Index("ix_earnings_user", "merchant_id", "user_id", "id"),
    Index(
        "ix_earnings_voided",
        "merchant_id",
        "user_id",
        postgresql_where=text("voided_at IS NOT NULL"),
    ),
    Index("ix_earnings_payout", "payout_id", postgresql_where=text("payout_id IS NOT NULL")),
    Index("ix_earnings_reverses", "reverses_id", postgresql_where=text("reverses_id IS NOT NULL")),
)
