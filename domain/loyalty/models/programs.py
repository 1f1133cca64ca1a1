"""Programs, and the terms of each of their versions."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from domain.db import at_column, created_at, id_column, metadata
from domain.loyalty.rules.types import QUALIFYING_TYPES


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


loyalty_programs = Table(
    "loyalty_programs",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("key", String(100), nullable=False),
    Column("name", String(255), nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    # IANA name: days and deadlines of the program are days of this zone.
    Column("zone", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    # The version that brought the tiers of now, and since when (business time) they hold; NULL: from the start.
    Column("tiers_version", Integer, nullable=False, server_default=text("1")),
    at_column("tiers_at", nullable=True),
    # Up to which card the sweep has counted anew under them; NULL: all.
    Column("recount_after", BigInteger, nullable=True),
    created_at(),
    UniqueConstraint("merchant_id", "key"),
    # Lets cards carry (program, merchant) and be held to it.
    UniqueConstraint("id", "merchant_id"),
    CheckConstraint("status IN ('active', 'paused', 'ended')", name="status"),
    CheckConstraint("key ~ '^[a-z0-9][a-z0-9_-]*$'", name="key_form"),
    CheckConstraint("recount_after IS NULL OR tiers_at IS NOT NULL", name="recount"),
    CheckConstraint("tiers_version <= version", name="tiers_version"),
)

# Append-only: changing a program makes a new version; a transaction keeps the one it was made with.
loyalty_program_versions = Table(
    "loyalty_program_versions",
    metadata,
    Column("program_id", BigInteger, ForeignKey("loyalty_programs.id"), nullable=False),
    Column("version", Integer, nullable=False),
    # `earn_points` for each full `earn_per_amount` minor units of `currency`, in proportion, floored.
    Column("earn_points", BigInteger, nullable=False),
    Column("earn_per_amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("minimum_purchase", BigInteger, nullable=False, server_default=text("0")),
    Column("welcome_bonus", BigInteger, nullable=False, server_default=text("0")),
    Column("min_redemption", BigInteger, nullable=False, server_default=text("1")),
    Column("pending_days", Integer, nullable=False, server_default=text("0")),
    Column("backdating_days", Integer, nullable=False),
    # NULL: points never expire for lack of activity.
    Column("inactivity_days", Integer, nullable=True),
    # Whether a card may owe points.
    Column("allow_debt", Boolean, nullable=False, server_default=text("true")),
    # Days that points live which a voided redemption gives back after their lot expired.
    Column("restore_days", Integer, nullable=False, server_default=text("30")),
    # Minor units that a thousand points cost when they are redeemed; NULL: not said.
    Column("cost_per_1000_points", BigInteger, nullable=True),
    # points, stamps, or hybrid: both.
    Column("kind", Text, nullable=False, server_default=text("'points'")),
    Column("stamp_target", Integer, nullable=True),
    Column("stamp_reward", String(255), nullable=True),
    Column("stamp_cooldown_minutes", Integer, nullable=False, server_default=text("15")),
    Column("stamp_daily_limit", Integer, nullable=True, server_default=text("5")),
    Column("rounding", Text, nullable=False, server_default=text("'down'")),
    # Lists of rules; domain.loyalty.rules.terms says what each may be.
    Column("multipliers", JSONB, nullable=False, server_default=text("'[]'")),
    Column("tiers", JSONB, nullable=False, server_default=text("'[]'")),
    Column("rewards", JSONB, nullable=False, server_default=text("'[]'")),
    Column("expiration", JSONB, nullable=False, server_default=text("'[]'")),
    Column("tier_days", Integer, nullable=False, server_default=text("365")),
    Column("earn_cooldown_minutes", Integer, nullable=False, server_default=text("0")),
    Column("daily_earn_limit", Integer, nullable=True),
    Column("daily_points_cap", BigInteger, nullable=True),
    # How long before a deadline points are announced; NULL: never.
    Column("notice_days", Integer, nullable=True, server_default=text("14")),
    # How long a hold reserves points.
    Column("hold_minutes", Integer, nullable=False, server_default=text("15")),
    # What nobody does without a PIN of the staff: points, stamps, redemptions.
    Column("pin_required", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    # Transaction types that count as activity.
    Column("qualifying_types", ARRAY(Text), nullable=False),
    created_at(),
    PrimaryKeyConstraint("program_id", "version"),
    CheckConstraint("earn_points >= 0 AND earn_per_amount > 0", name="earn_rate"),
    CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
    CheckConstraint("minimum_purchase >= 0", name="minimum_purchase"),
    CheckConstraint("welcome_bonus >= 0", name="welcome_bonus"),
    CheckConstraint("min_redemption > 0", name="min_redemption"),
    CheckConstraint("pending_days >= 0", name="pending_days"),
    CheckConstraint("backdating_days >= 0", name="backdating_days"),
    CheckConstraint("inactivity_days IS NULL OR inactivity_days > 0", name="inactivity_days"),
    CheckConstraint("restore_days > 0", name="restore_days"),
    CheckConstraint("kind IN ('points', 'stamps', 'hybrid')", name="kind"),
    CheckConstraint("rounding IN ('down', 'half_even', 'up')", name="rounding"),
    CheckConstraint("stamp_target > 0 AND stamp_daily_limit > 0", name="stamp_limits"),
    CheckConstraint("least(stamp_cooldown_minutes, earn_cooldown_minutes) >= 0", name="cooldowns"),
    CheckConstraint("daily_earn_limit > 0 AND daily_points_cap > 0", name="daily_limits"),
    CheckConstraint("tier_days > 0", name="tier_days"),
    CheckConstraint("hold_minutes > 0", name="hold_minutes"),
    CheckConstraint("cost_per_1000_points >= 0", name="cost_per_1000_points"),
    CheckConstraint("notice_days > 0", name="notice_days"),
    CheckConstraint(
        "pin_required <@ ARRAY['points', 'redemptions', 'stamps']", name="pin_required"
    ),
    CheckConstraint(
        f"qualifying_types <@ ARRAY[{_listed(QUALIFYING_TYPES)}]", name="qualifying_types"
    ),
)
