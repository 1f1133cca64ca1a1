"""Tables of referrals: programs and their versions, codes, who referred whom, trackings, reversals."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata

programs = Table(
    "programs",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("key", String(100), nullable=False),
    Column("name", String(255), nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created_at(),
    UniqueConstraint("merchant_id", "key"),
    CheckConstraint("status IN ('active', 'paused', 'ended')", name="status"),
)

# Append-only: changing a program makes a new version; a tracking keeps the one it was computed with.
program_versions = Table(
    "program_versions",
    metadata,
    Column("program_id", BigInteger, ForeignKey("programs.id"), nullable=False),
    Column("version", Integer, nullable=False),
    # {"kind": "percentage", "basis_points": 1000, ...}; see domain.referrals.rules.parse_rule
    Column("rule", JSONB, nullable=False),
    Column("referee_rule", JSONB, nullable=True),
    Column("currency", Text, nullable=False),
    Column("hold_days", Integer, nullable=False),
    Column("window_days", Integer, nullable=True),
    Column("max_rewards_per_referrer", Integer, nullable=True),
    Column("min_amount", BigInteger, nullable=False, server_default=text("0")),
    Column("payout_method", Text, nullable=True),
    created_at(),
    PrimaryKeyConstraint("program_id", "version"),
    CheckConstraint("hold_days BETWEEN 0 AND 90", name="hold_days"),
    CheckConstraint("window_days IS NULL OR window_days > 0", name="window_days"),
    CheckConstraint("max_rewards_per_referrer IS NULL OR max_rewards_per_referrer > 0", name="cap"),
    CheckConstraint("min_amount >= 0", name="min_amount"),
    CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
)

codes = Table(
    "codes",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("code", String(20), nullable=False),
    Column("program_id", BigInteger, ForeignKey("programs.id"), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("max_uses", Integer, nullable=True),
    Column("uses", Integer, nullable=False, server_default=text("0")),
    at_column("expires_at", nullable=True),
    created_at(),
    UniqueConstraint("merchant_id", "code"),
    # Target of what names a code: it cannot cross merchants or programs, and one check holds all three.
    UniqueConstraint("id", "program_id", "merchant_id"),
    # The user first: an index that began with merchant or program would look as good as the unique one
    # above to a planner without statistics, and be read whole for every tracking.
    Index("ix_codes_owner", "user_id", "merchant_id", "program_id"),
    CheckConstraint("status IN ('active', 'inactive', 'expired', 'suspended')", name="status"),
    CheckConstraint("char_length(code) BETWEEN 6 AND 20", name="length"),
    CheckConstraint("uses >= 0 AND (max_uses IS NULL OR uses <= max_uses)", name="uses"),
)

attributions = Table(
    "attributions",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("referred_user_id", String(100), nullable=False),
    Column("code_id", BigInteger, nullable=False),
    # When the window starts: the earliest attribution known for this code.
    at_column("attributed_at"),
    # Rewarded conversions of this referred user so far: what one_time and recurring look at.
    Column("rewarded", Integer, nullable=False, server_default=text("0")),
    at_column("first_rewarded_at", nullable=True),
    # The program version up to which the two are complete, as in referrer_states.
    Column("counted_version", Integer, nullable=False, server_default=text("0")),
    created_at(),
    ForeignKeyConstraint(
        ["code_id", "program_id", "merchant_id"],
        ["codes.id", "codes.program_id", "codes.merchant_id"],
        name="fk_attributions_code",
    ),
    UniqueConstraint("merchant_id", "program_id", "referred_user_id"),
)

# Acceptance order, counts and volume of a referrer in a program: what tiers and caps look at.
referrer_states = Table(
    "referrer_states",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("program_id", BigInteger, ForeignKey("programs.id"), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("last_seq", BigInteger, nullable=False, server_default=text("0")),
    Column("conversions", BigInteger, nullable=False, server_default=text("0")),
    Column("volume", BigInteger, nullable=False, server_default=text("0")),
    Column("rewards", BigInteger, nullable=False, server_default=text("0")),
    # The program version up to which the counts are complete: they are kept only while a rule needs
    # them, and are counted again from the trackings when a newer version needs them anew.
    Column("counted_version", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("merchant_id", "program_id", "user_id"),
    CheckConstraint("conversions >= 0 AND volume >= 0 AND rewards >= 0", name="not_negative"),
)

trackings = Table(
    "trackings",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False),
    Column("referrer_user_id", String(100), nullable=False),
    Column("referred_user_id", String(100), nullable=False),
    Column("code_id", BigInteger, nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("program_version", Integer, nullable=False),
    Column("transaction_id", String(255), nullable=True),
    Column("transaction_amount", BigInteger, nullable=True),
    Column("amount_earned", BigInteger, nullable=False),
    Column("referee_amount_earned", BigInteger, nullable=False, server_default=text("0")),
    Column("currency", Text, nullable=False),
    at_column("converted_at"),
    # Acceptance order within (program, referrer), where the rule needs order; else the id is the order.
    Column("seq", BigInteger, nullable=True),
    # Why: the rule, tier and inputs that gave the amount.
    Column("explanation", JSONB, nullable=False),
    Column("refunded_amount", BigInteger, nullable=False, server_default=text("0")),
    Column("fully_refunded", Boolean, nullable=False, server_default=text("false")),
    Column("reversed_amount", BigInteger, nullable=False, server_default=text("0")),
    Column("referee_reversed_amount", BigInteger, nullable=False, server_default=text("0")),
    created_at(),
    at_column("updated_at", nullable=True),
    ForeignKeyConstraint(
        ["code_id", "program_id", "merchant_id"],
        ["codes.id", "codes.program_id", "codes.merchant_id"],
        name="fk_trackings_code",
    ),
    ForeignKeyConstraint(
        ["program_id", "program_version"],
        ["program_versions.program_id", "program_versions.version"],
    ),
    # Exactly once: an event is counted at most once, a transaction is counted at most once.
    UniqueConstraint("inbox_id"),
    UniqueConstraint("merchant_id", "transaction_id"),
    CheckConstraint("amount_earned >= 0 AND referee_amount_earned >= 0", name="earned"),
    CheckConstraint(
        "reversed_amount BETWEEN 0 AND amount_earned"
        " AND referee_reversed_amount BETWEEN 0 AND referee_amount_earned",
        name="reversed_at_most_earned",
    ),
    CheckConstraint(
        "refunded_amount >= 0 AND (refunded_amount = 0 OR refunded_amount <= transaction_amount)",
        name="refunded_at_most_paid",
    ),
    Index(
        "uq_trackings_seq",
        "program_id",
        "referrer_user_id",
        "seq",
        unique=True,
        postgresql_where=text("seq IS NOT NULL"),
    ),
    Index("ix_trackings_referrer", "merchant_id", "referrer_user_id", "id"),
    Index("ix_trackings_referred", "merchant_id", "referred_user_id"),
    Index("ix_trackings_converted_at", "merchant_id", "converted_at"),
)

# Append-only: what each refund took. A replay of the same refund id is nothing.
tracking_reversals = Table(
    "tracking_reversals",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("tracking_id", BigInteger, ForeignKey("trackings.id"), nullable=False),
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("external_id", String(255), nullable=False),
    # Of the transaction, and what it took from the referrer's and the referee's reward; minor units.
    Column("amount", BigInteger, nullable=False),
    Column("reversed", BigInteger, nullable=False),
    Column("referee_reversed", BigInteger, nullable=False),
    at_column("occurred_at"),
    created_at(),
    UniqueConstraint("tracking_id", "kind", "external_id"),
    CheckConstraint("kind IN ('refund', 'dispute')", name="kind"),
    CheckConstraint("amount >= 0 AND reversed >= 0 AND referee_reversed >= 0", name="not_negative"),
)
