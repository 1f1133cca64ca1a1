"""Stores, the PINs of their staff, paired tablets, and who stood behind an event at a till."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

KEY_FORM = "key ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$'"

stores = Table(
    "stores",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    # What events call it.
    Column("key", String(100), nullable=False),
    Column("name", String(255), nullable=False),
    Column("zone", Text, nullable=False, server_default=text("'UTC'")),
    # Business time: events that happened from then on are refused.
    at_column("retired_at", nullable=True),
    created_at(),
    UniqueConstraint("merchant_id", "key"),
    # Lets PINs and devices carry (store, merchant) and be held to it.
    UniqueConstraint("id", "merchant_id"),
    CheckConstraint(KEY_FORM, name="key_form"),
)

staff_pins = Table(
    "staff_pins",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("store_id", BigInteger, nullable=False),
    Column("key", String(100), nullable=False),
    # Of the person.
    Column("name", String(255), nullable=False),
    Column("pin_hash", Text, nullable=False),
    # Wrong PINs in a row, and until when (real time) none is looked at.
    Column("failures", Integer, nullable=False, server_default=text("0")),
    at_column("locked_until", nullable=True),
    at_column("disabled_at", nullable=True),
    created_at(),
    UniqueConstraint("merchant_id", "key"),
    ForeignKeyConstraint(["store_id", "merchant_id"], ["stores.id", "stores.merchant_id"]),
    CheckConstraint(KEY_FORM, name="key_form"),
    CheckConstraint("starts_with(pin_hash, '$argon2id$')", name="pin_is_argon2"),
    CheckConstraint("failures >= 0", name="failures"),
    Index("ix_staff_pins_store", "store_id"),
)

terminal_devices = Table(
    "terminal_devices",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    # Where it acts.
    Column("store_id", BigInteger, nullable=False),
    Column("key", String(100), nullable=False),
    Column("name", String(255), nullable=False),
    # SHA-256 of a 256-bit random token; NULL until it is paired.
    Column("token_hash", LargeBinary, nullable=True, unique=True),
    # SHA-256 of the code that pairs it once; NULL afterwards.
    Column("pairing_hash", LargeBinary, nullable=True, unique=True),
    at_column("pairing_expires_at", nullable=True),
    # Who paired it: the principal of all that it does.
    Column("principal_kind", Text, nullable=False),
    Column("principal_id", String(100), nullable=False),
    at_column("paired_at", nullable=True),
    at_column("revoked_at", nullable=True),
    created_at(),
    UniqueConstraint("merchant_id", "key"),
    ForeignKeyConstraint(["store_id", "merchant_id"], ["stores.id", "stores.merchant_id"]),
    CheckConstraint(KEY_FORM, name="key_form"),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash_length"),
    CheckConstraint("octet_length(pairing_hash) = 32", name="pairing_hash_length"),
    CheckConstraint("pairing_hash IS NULL OR token_hash IS NULL", name="pairs_once"),
    CheckConstraint("(pairing_hash IS NULL) = (pairing_expires_at IS NULL)", name="pairing_ends"),
    CheckConstraint("(token_hash IS NULL) = (paired_at IS NULL)", name="paired"),
    Index("ix_terminal_devices_store", "store_id"),
)

till_acts = Table(
    "till_acts",
    metadata,
    Column("inbox_id", BigInteger, ForeignKey("inbox_events.id"), primary_key=True),
    Column("merchant_id", BigInteger, nullable=False),
    Column("store_id", String(100), nullable=True),
    Column("terminal_device_id", String(100), nullable=True),
    Column("principal_kind", Text, nullable=False),
    Column("principal_id", String(100), nullable=False),
    Column("ip_address", String(45), nullable=True),
    Column("user_agent", String(500), nullable=True),
    created_at(),
)
