"""Tables of merchants, the tenants, and of their gateway accounts."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from domain.db import at_column, created_at, id_column, metadata

merchants = Table(
    "merchants",
    metadata,
    id_column(),
    Column("key", String(100), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("mode", Text, nullable=False),
    created_at(),
    at_column("retired_at", nullable=True),
    CheckConstraint("mode IN ('test', 'live')", name="mode"),
    CheckConstraint("key ~ '^[a-z0-9][a-z0-9_-]*$'", name="key_form"),
    # Lets other tables carry (merchant_id, mode) and be held to it.
    UniqueConstraint("id", "mode"),
)

gateway_accounts = Table(
    "gateway_accounts",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("mode", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    # Fernet tokens under PAYSPOOL_SECRET_KEYS; never the plain text.
    Column("api_key_encrypted", LargeBinary, nullable=False),
    Column("webhook_secret_encrypted", LargeBinary, nullable=True),
    Column("api_key_hint", Text, nullable=False),
    # The gateway's own name of the account that the key belongs to (`acct_…`), as the gateway said it;
    # NULL until it was asked. Nothing is sent before it is known.
    Column("platform_account", String(255), nullable=True),
    created_at(),
    at_column("retired_at", nullable=True),
    # A gateway account is test or live as its merchant is: a test merchant cannot hold a live one.
    ForeignKeyConstraint(["merchant_id", "mode"], ["merchants.id", "merchants.mode"]),
    UniqueConstraint("merchant_id", "method"),
    CheckConstraint("method IN ('stripe', 'wise', 'manual')", name="method"),
)
