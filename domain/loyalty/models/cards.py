"""Cards and their history."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from domain.db import at_column, created_at, id_column, metadata
from domain.loyalty.rules.types import TRANSACTION_TYPES

CARD_FILLFACTOR: Final = 80
"""Room on each page for the next version of a row, so that an update need not touch the indexes."""


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


cards = Table(
    "cards",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("number", String(50), nullable=False),
    Column("customer_id", String(100), nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("points_balance", BigInteger, nullable=False, server_default=text("0")),
    # Points taken back that were already spent; later credits pay it first.
    Column("points_debt", BigInteger, nullable=False, server_default=text("0")),
    Column("stamps_balance", BigInteger, nullable=False, server_default=text("0")),
    Column("last_seq", BigInteger, nullable=False, server_default=text("0")),
    # Not indexed, on purpose: an index here would defeat HOT updates on every event.
    at_column("last_activity_at"),
    # When the whole balance expires unless there is activity: the promise made at the last activity.
    # NULL while no period runs (never under this program, or it is over and nothing was credited since).
    at_column("inactivity_deadline", nullable=True),
    # The latest deadline that took effect. Events dated before it count as of their reception.
    at_column("expired_through", nullable=True),
    # Lazy timer of the sweep: never later than the deadline of a card that holds points. Activity
    # moves the deadline and leaves this; the sweep looks, and expires or re-arms.
    at_column("expire_check_on", nullable=True),
    # Events that a correction waits for, as `event:shop/ord-1` or `order:ord-1`: who applies one of them
    # sees it here, under the lock that it holds anyway.
    Column("awaits", ARRAY(Text), nullable=True),
    # The card that it was merged into, never one that was merged itself: what names this one is about that.
    Column("merged_into_id", BigInteger, nullable=True),
    # Since when the customer is unknown, for good.
    at_column("anonymized_at", nullable=True),
    created_at(),
    ForeignKeyConstraint(
        ["program_id", "merchant_id"], ["loyalty_programs.id", "loyalty_programs.merchant_id"]
    ),
    UniqueConstraint("merchant_id", "number"),
    UniqueConstraint("merchant_id", "customer_id"),
    CheckConstraint("status IN ('active', 'inactive')", name="status"),
    CheckConstraint("points_debt >= 0 AND points_balance >= -points_debt", name="debt_is_explicit"),
    CheckConstraint("stamps_balance >= 0", name="stamps_balance"),
    CheckConstraint("last_seq >= 0", name="last_seq"),
    Index(
        "ix_cards_merged",
        "merged_into_id",
        postgresql_where=text("merged_into_id IS NOT NULL"),
    ),
    Index(
        "ix_cards_due",
        "merchant_id",
        "expire_check_on",
        postgresql_where=text("expire_check_on IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": CARD_FILLFACTOR},
)

# Append-only (see the triggers).
loyalty_transactions = Table(
    "loyalty_transactions",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("program_version", Integer, nullable=False),
    # 1, 2, 3 … for each card, without gaps.
    Column("seq", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("points_delta", BigInteger, nullable=False, server_default=text("0")),
    Column("points_balance_after", BigInteger, nullable=False),
    Column("stamps_delta", BigInteger, nullable=False, server_default=text("0")),
    Column("stamps_balance_after", BigInteger, nullable=False),
    # The event that made it; NULL for what the program does by itself (expiry).
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=True),
    Column(
        "related_transaction_id", BigInteger, ForeignKey("loyalty_transactions.id"), nullable=True
    ),
    # Where it was processed and by whom, with the names as they were then.
    Column("store_id", String(100), nullable=True),
    Column("store_name", String(255), nullable=True),
    Column("staff_pin_id", String(100), nullable=True),
    Column("staff_name", String(255), nullable=True),
    # The paired tablet; NULL for a person on the web, an admin or the scheduler.
    Column("terminal_device_id", String(100), nullable=True),
    # The person (the pairing user where a tablet acts).
    Column("principal_kind", Text, nullable=True),
    Column("principal_id", String(100), nullable=True),
    Column("category_ids", JSONB, nullable=True),
    # Minor units of purchase_currency, whatever its digits.
    Column("purchase_amount_cents", BigInteger, nullable=True),
    Column("purchase_currency", Text, nullable=True),
    Column("order_reference", String(100), nullable=True),
    # The reward and its cost as they were then.
    Column("reward_id", String(50), nullable=True),
    Column("reward_cost", BigInteger, nullable=True),
    Column("reward_description", String(255), nullable=True),
    Column("ip_address", String(45), nullable=True),
    Column("user_agent", String(500), nullable=True),
    Column("notes", String(500), nullable=True),
    Column("reason", String(500), nullable=True),
    # What a correction could not take, because the program forbids debt; it counts as taken.
    Column("points_not_taken", BigInteger, nullable=True),
    # Why: the rule and the inputs that gave the points, and the time that the rules went by.
    Column("explanation", JSONB, nullable=False),
    # When it happened; created_at is when it was written.
    at_column("transaction_at"),
    created_at(),
    UniqueConstraint("card_id", "seq"),
    CheckConstraint(f"type IN ({_listed(TRANSACTION_TYPES)})", name="type"),
    CheckConstraint("seq > 0 AND stamps_balance_after >= 0", name="seq"),
    CheckConstraint(
        """
        CASE
            WHEN type IN ('points_earned', 'welcome_bonus') THEN points_delta > 0 AND stamps_delta = 0
            WHEN type IN ('points_redeemed', 'points_expired') THEN points_delta < 0 AND stamps_delta = 0
            WHEN type IN ('points_voided', 'points_adjustment')
                THEN (points_delta <> 0 OR points_not_taken IS NOT NULL) AND stamps_delta = 0
            WHEN type = 'stamp_earned' THEN stamps_delta > 0 AND points_delta = 0
            WHEN type IN ('stamp_redeemed', 'stamp_voided') THEN stamps_delta < 0 AND points_delta = 0
            WHEN type = 'stamp_adjustment' THEN stamps_delta <> 0 AND points_delta = 0
            ELSE points_delta = 0 AND stamps_delta = 0
        END
        """,
        name="sign_by_type",
    ),
    CheckConstraint(
        "points_not_taken IS NULL"
        " OR (points_not_taken > 0 AND points_delta <= 0 AND type IN ('points_voided', 'points_adjustment'))",
        name="points_not_taken",
    ),
    CheckConstraint(
        "type NOT IN ('points_voided', 'stamp_voided') OR related_transaction_id IS NOT NULL",
        name="void_names_its_original",
    ),
    CheckConstraint(
        "type NOT IN ('points_adjustment', 'stamp_adjustment') OR reason IS NOT NULL",
        name="adjustment_has_reason",
    ),
    # Once for each card, at its enrolment: behind its first row.
    CheckConstraint("type <> 'welcome_bonus' OR seq = 2", name="welcome_once"),
    # Nobody stands behind an expiry: it is only ever the program's doing.
    CheckConstraint(
        "type <> 'points_expired' OR num_nonnulls(inbox_id, store_id, store_name, staff_pin_id,"
        " staff_name, terminal_device_id, principal_kind, principal_id, ip_address, user_agent) = 0",
        name="expiry_has_no_actor",
    ),
    # Exactly once: an event makes at most one transaction of a type (a refund one for each earn).
    Index(
        "uq_loyalty_transactions_inbox",
        "inbox_id",
        "type",
        "related_transaction_id",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=text("inbox_id IS NOT NULL"),
    ),
    # What a stamp's cooldown and daily limit look at.
    Index(
        "ix_loyalty_transactions_stamps",
        "card_id",
        "transaction_at",
        postgresql_where=text("type = 'stamp_earned'"),
    ),
    Index("ix_loyalty_transactions_merchant", "merchant_id", "transaction_at"),
    Index("ix_loyalty_transactions_card_type", "card_id", "type"),
    Index("ix_loyalty_transactions_type", "type", "transaction_at"),
    Index(
        "ix_loyalty_transactions_merchant_store",
        "merchant_id",
        "store_id",
        postgresql_where=text("store_id IS NOT NULL"),
    ),
    Index(
        "ix_loyalty_transactions_pin",
        "merchant_id",
        "staff_pin_id",
        "transaction_at",
        postgresql_where=text("staff_pin_id IS NOT NULL"),
    ),
    Index(
        "ix_loyalty_transactions_device",
        "merchant_id",
        "terminal_device_id",
        "transaction_at",
        postgresql_where=text("terminal_device_id IS NOT NULL"),
    ),
    Index(
        "ix_loyalty_transactions_store",
        "store_id",
        "transaction_at",
        postgresql_where=text("store_id IS NOT NULL"),
    ),
    Index(
        "ix_loyalty_transactions_order",
        "merchant_id",
        "order_reference",
        postgresql_where=text("order_reference IS NOT NULL"),
    ),
    Index(
        "ix_loyalty_transactions_related",
        "related_transaction_id",
        postgresql_where=text("related_transaction_id IS NOT NULL"),
    ),
)

# Cards of each program, of those that are summed up (`rollup_marks`).
loyalty_rollups = Table(
    "loyalty_rollups",
    metadata,
    Column("program_id", BigInteger, ForeignKey("loyalty_programs.id"), primary_key=True),
    Column("cards", BigInteger, nullable=False),
)
