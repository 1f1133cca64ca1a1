"""Tables of loyalty: programs and their versions, cards, their history, lots and allocations.

Every change of a card is one immutable ``loyalty_transactions`` row with a sequence number of its
card. Triggers in the migration refuse a row whose predecessor is missing or whose balance does not
follow from it, a card whose balances are not those of its last row, and rows that cross cards.

Between these tables there are no foreign keys, on purpose. Nothing in them is ever deleted, so that a
reference has to be checked only when it is written, and the triggers do that for all rows of a statement
at once, together with what a foreign key cannot say (same card, same merchant). Foreign keys would check
row by row, lock the one row of the program's version from every worker, and cost a third of a sweep.
"""

from typing import Final

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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from domain.db import at_column, created_at, id_column, metadata
from domain.loyalty.rules.types import QUALIFYING_TYPES, TRANSACTION_TYPES

LOT_FILLFACTOR: Final = 85
CARD_FILLFACTOR: Final = 80
"""Room on each page for the next version of a row, so that an update need not touch the indexes."""


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
    created_at(),
    UniqueConstraint("merchant_id", "key"),
    # Lets cards carry (program, merchant) and be held to it.
    UniqueConstraint("id", "merchant_id"),
    CheckConstraint("status IN ('active', 'paused', 'ended')", name="status"),
    CheckConstraint("key ~ '^[a-z0-9][a-z0-9_-]*$'", name="key_form"),
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
    CheckConstraint(
        f"qualifying_types <@ ARRAY[{_listed(QUALIFYING_TYPES)}]", name="qualifying_types"
    ),
)

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
    Index("ix_loyalty_transactions_merchant", "merchant_id", "transaction_at"),
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

# Each credit is a lot; only `remaining` and `held` ever change.
point_lots = Table(
    "point_lots",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("transaction_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    # Reserved by a redemption that is not captured yet; spendable is remaining − held.
    Column("held", BigInteger, nullable=False, server_default=text("0")),
    at_column("occurred_at"),
    at_column("available_at"),
    # The lot's own deadline; NULL where only the card's counts.
    at_column("expires_at", nullable=True),
    # The terms it was earned under, so that a later version of the program does not change them.
    Column("policy", JSONB, nullable=False),
    created_at(),
    CheckConstraint("points > 0", name="points_positive"),
    CheckConstraint("remaining BETWEEN 0 AND points", name="remaining"),
    CheckConstraint("held BETWEEN 0 AND remaining", name="held"),
    # What a debit looks at: the open lots of a card in the order of consumption.
    Index(
        "ix_point_lots_open",
        "card_id",
        "expires_at",
        "occurred_at",
        "id",
        postgresql_where=text("remaining > 0"),
    ),
    Index("ix_point_lots_transaction", "transaction_id"),
    postgresql_with={"fillfactor": LOT_FILLFACTOR},
)

# Append-only: which lots a debit consumed, so that any reversal is exact.
lot_allocations = Table(
    "lot_allocations",
    metadata,
    Column("merchant_id", BigInteger, nullable=False),
    Column("debit_transaction_id", BigInteger, nullable=False),
    Column("lot_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    created_at(),
    PrimaryKeyConstraint("debit_transaction_id", "lot_id"),
    CheckConstraint("points > 0", name="points_positive"),
    Index("ix_lot_allocations_lot", "lot_id"),
)

# What a debit took beyond the card's lots; only `remaining` ever changes.
point_debts = Table(
    "point_debts",
    metadata,
    Column("transaction_id", BigInteger, nullable=False),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    created_at(),
    PrimaryKeyConstraint("transaction_id"),
    CheckConstraint("points > 0", name="points_positive"),
    CheckConstraint("remaining BETWEEN 0 AND points", name="remaining"),
    Index(
        "ix_point_debts_open", "card_id", "transaction_id", postgresql_where=text("remaining > 0")
    ),
)

# Append-only: which debts a credit paid, and from which lot.
debt_repayments = Table(
    "debt_repayments",
    metadata,
    Column("merchant_id", BigInteger, nullable=False),
    Column("credit_transaction_id", BigInteger, nullable=False),
    Column("debit_transaction_id", BigInteger, nullable=False),
    Column("lot_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    created_at(),
    PrimaryKeyConstraint("credit_transaction_id", "debit_transaction_id", "lot_id"),
    CheckConstraint("points > 0", name="points_positive"),
    Index("ix_debt_repayments_debit", "debit_transaction_id"),
    Index("ix_debt_repayments_lot", "lot_id"),
)

# Append-only: what a credit gave back to the lots that a debit had taken from.
lot_restorations = Table(
    "lot_restorations",
    metadata,
    Column("merchant_id", BigInteger, nullable=False),
    Column("credit_transaction_id", BigInteger, nullable=False),
    Column("debit_transaction_id", BigInteger, nullable=False),
    Column("lot_id", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    created_at(),
    PrimaryKeyConstraint("credit_transaction_id", "lot_id"),
    CheckConstraint("points > 0", name="points_positive"),
    Index("ix_lot_restorations_debit", "debit_transaction_id", "lot_id"),
    Index("ix_lot_restorations_lot", "lot_id"),
)

# Append-only: each refund of an order, once, so that ten refunds of a tenth take all.
loyalty_refunds = Table(
    "loyalty_refunds",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    Column("order_reference", String(100), nullable=False),
    Column("refund_id", String(255), nullable=False),
    # Minor units of the purchase's currency.
    Column("amount", BigInteger, nullable=False),
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), nullable=False),
    created_at(),
    UniqueConstraint("card_id", "order_reference", "refund_id"),
    CheckConstraint("amount > 0", name="amount_positive"),
    Index("ix_loyalty_refunds_inbox", "inbox_id", unique=True),
)
