"""Tables of referrals: programs and their versions, codes, who referred whom, trackings, reversals,
holds and what is held."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata


def written_at() -> Column[Any]:
    """When a row was written last, by PostgreSQL's real clock."""
    return Column(
        "updated_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.statement_timestamp(),
    )


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
    # When the program runs: what converted before or from then on is refused.
    at_column("starts_at", nullable=True),
    at_column("ends_at", nullable=True),
    Column("codes_per_user", Integer, nullable=True),
    PrimaryKeyConstraint("program_id", "version"),
    CheckConstraint("starts_at < ends_at", name="schedule"),
    CheckConstraint("codes_per_user > 0", name="codes_per_user"),
    CheckConstraint("hold_days BETWEEN 0 AND 90", name="hold_days"),
    CheckConstraint("window_days IS NULL OR window_days > 0", name="window_days"),
    CheckConstraint("max_rewards_per_referrer IS NULL OR max_rewards_per_referrer > 0", name="cap"),
    CheckConstraint("min_amount >= 0", name="min_amount"),
    CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
)

# Codes that were asked for together, by the key of who asked: asked for again, they are told again.
code_batches = Table(
    "code_batches",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("key", String(100), nullable=False),
    # SHA-256 of what was asked for.
    Column("content_hash", LargeBinary, nullable=False),
    Column("number", Integer, nullable=False),
    created_at(),
    ForeignKeyConstraint(["merchant_id"], ["merchants.id"]),
    ForeignKeyConstraint(["program_id"], ["programs.id"]),
    UniqueConstraint("merchant_id", "key"),
    CheckConstraint("number > 0", name="number"),
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
    Column("batch_id", BigInteger, ForeignKey("code_batches.id"), nullable=True),
    UniqueConstraint("merchant_id", "code"),
    # Target of what names a code: it cannot cross merchants or programs, and one check holds all three.
    UniqueConstraint("id", "program_id", "merchant_id"),
    # The user first: an index that began with merchant or program would look as good as the unique one
    # above to a planner without statistics, and be read whole for every tracking.
    Index("ix_codes_owner", "user_id", "merchant_id", "program_id"),
    Index("ix_codes_batch", "batch_id", "id", postgresql_where=text("batch_id IS NOT NULL")),
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

# A referrer's counts in one period of a program, where its tiers begin anew with each. Locked by the
# referrer's state, and complete up to a version, as that.
referrer_periods = Table(
    "referrer_periods",
    metadata,
    Column("state_id", BigInteger, ForeignKey("referrer_states.id"), nullable=False),
    Column("period", Text, nullable=False),
    at_column("starts_at"),
    Column("conversions", BigInteger, nullable=False, server_default=text("0")),
    Column("volume", BigInteger, nullable=False, server_default=text("0")),
    Column("counted_version", Integer, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("state_id", "period", "starts_at"),
    CheckConstraint("period IN ('month', 'quarter', 'year')", name="period"),
    CheckConstraint("conversions >= 0 AND volume >= 0", name="not_negative"),
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
    Column("dispute_lost", Boolean, nullable=False, server_default=text("false")),
    Column("reversed_amount", BigInteger, nullable=False, server_default=text("0")),
    Column("referee_reversed_amount", BigInteger, nullable=False, server_default=text("0")),
    # By a person, as fraud: it counts for nothing that is decided later.
    Column("rejected", Boolean, nullable=False, server_default=text("false")),
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
    Index("ix_trackings_referred", "merchant_id", "referred_user_id", "id"),
    Index("ix_trackings_converted_at", "merchant_id", "converted_at"),
)

# Append-only: what each refund, each lost dispute and a rejection took. A replay of the same refund id is nothing.
tracking_reversals = Table(
    "tracking_reversals",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("tracking_id", BigInteger, ForeignKey("trackings.id"), nullable=False),
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("external_id", String(255), nullable=False),
    # Of the transaction (0 for a dispute, which names no amount), and what it took from the referrer's and the referee's reward; minor units.
    Column("amount", BigInteger, nullable=False),
    Column("reversed", BigInteger, nullable=False),
    Column("referee_reversed", BigInteger, nullable=False),
    at_column("occurred_at"),
    created_at(),
    UniqueConstraint("tracking_id", "kind", "external_id"),
    CheckConstraint("kind IN ('refund', 'dispute', 'rejection')", name="kind"),
    CheckConstraint("amount >= 0 AND reversed >= 0 AND referee_reversed >= 0", name="not_negative"),
)

# Why a tracking's earnings wait: a dispute (``ref`` is its id), or what looks like fraud, with evidence.
# The earnings are held while any is open (see domain.earnings); what was found and how it ended stay.
tracking_holds = Table(
    "tracking_holds",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("tracking_id", BigInteger, ForeignKey("trackings.id"), nullable=False),
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("ref", String(255), nullable=False, server_default=text("''")),
    Column("evidence", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    at_column("held_at"),
    Column("outcome", Text, nullable=True),
    at_column("closed_at", nullable=True),
    Column("closed_by", String(255), nullable=True),
    Column("close_reason", String(500), nullable=True),
    created_at(),
    UniqueConstraint("tracking_id", "kind", "ref"),
    CheckConstraint(
        "kind IN ('dispute', 'same_email', 'velocity', 'shared_destination')", name="kind"
    ),
    CheckConstraint("outcome IN ('won', 'lost', 'released', 'rejected')", name="outcome"),
    CheckConstraint("(outcome IS NULL) = (closed_at IS NULL)", name="closed"),
    CheckConstraint(
        "outcome NOT IN ('released', 'rejected')"
        " OR (closed_by IS NOT NULL AND close_reason IS NOT NULL)",
        name="by_whom",
    ),
    CheckConstraint(
        "(kind = 'dispute') = (outcome IN ('won', 'lost'))", name="decided_by_its_kind"
    ),
    Index("ix_tracking_holds_open", "merchant_id", "id", postgresql_where=text("outcome IS NULL")),
    Index("ix_tracking_holds_inbox", "inbox_id"),
    Index(
        "ix_tracking_holds_ended",
        "merchant_id",
        "id",
        postgresql_where=text("outcome IS NOT NULL"),
    ),
)

# What is held as it may be fraud. A merchant's row (program NULL) is for its programs without one of their own.
hold_policies = Table(
    "hold_policies",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("program_id", BigInteger, ForeignKey("programs.id"), nullable=True),
    Column("same_email", Boolean, nullable=False, server_default=text("true")),
    Column("shared_destination", Boolean, nullable=False, server_default=text("true")),
    # Conversions that one may count before the next are held; NULL: any number.
    Column("code_per_hour", Integer, nullable=True),
    Column("code_per_day", Integer, nullable=True),
    Column("referrer_per_hour", Integer, nullable=True),
    Column("referrer_per_day", Integer, nullable=True),
    written_at(),
    UniqueConstraint("merchant_id", "program_id", postgresql_nulls_not_distinct=True),
    CheckConstraint(
        "least(code_per_hour, code_per_day, referrer_per_hour, referrer_per_day) > 0", name="limits"
    ),
)

# Conversions of a code or a referrer in a day and in each hour of it (UTC), where a policy limits them.
velocity_counts = Table(
    "velocity_counts",
    metadata,
    Column("program_id", BigInteger, ForeignKey("programs.id"), nullable=False),
    Column("per", Text, nullable=False),
    # The code's id, or the referrer's user id.
    Column("subject", String(100), nullable=False),
    Column("day", Date, nullable=False),
    Column("conversions", BigInteger, nullable=False),
    Column("by_hour", ARRAY(Integer), nullable=False),
    # The one that was counted last: a statement tells by it which element it wrote.
    Column("last_hour", SmallInteger, nullable=False),
    PrimaryKeyConstraint("program_id", "per", "subject", "day"),
    CheckConstraint("per IN ('code', 'referrer')", name="per"),
    CheckConstraint("cardinality(by_hour) = 24", name="by_hour"),
    CheckConstraint("last_hour BETWEEN 0 AND 23", name="last_hour"),
    Index("ix_velocity_counts_day", "day"),
)

# SHA-256 of users' normalised e-mail addresses, as producers and operators said them last.
email_hashes = Table(
    "email_hashes",
    metadata,
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("hash", String(64), nullable=False),
    written_at(),
    PrimaryKeyConstraint("merchant_id", "user_id"),
    CheckConstraint("hash ~ '^[0-9a-f]{64}$'", name="hash"),
)

# What a program did, by day of UTC; a stripe for each connection that writes, so that no two wait for a row.
# Conversions by when they happened, reversals by when they did. Amounts in the program's currency.
program_days = Table(
    "program_days",
    metadata,
    Column("program_id", BigInteger, ForeignKey("programs.id"), nullable=False),
    Column("day", Date, nullable=False),
    Column("stripe", SmallInteger, nullable=False),
    *(
        Column(name, BigInteger, nullable=False, server_default=text("0"))
        for name in (
            "conversions",
            "volume",
            "earned",
            "referee_earned",
            "reversals",
            "refunded",
            "reversed",
            "referee_reversed",
        )
    ),
    PrimaryKeyConstraint("program_id", "day", "stripe"),
    postgresql_with={"fillfactor": 60},
)
