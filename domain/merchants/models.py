"""Tables of merchants, the tenants, and of their gateway accounts."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
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
    # Whether new payouts go on from the connected account to its bank; each keeps what held when its run
    # was opened.
    Column("bank_leg", Boolean, nullable=False, server_default=text("false")),
    # A gateway account is test or live as its merchant is: a test merchant cannot hold a live one.
    ForeignKeyConstraint(["merchant_id", "mode"], ["merchants.id", "merchants.mode"]),
    UniqueConstraint("merchant_id", "method"),
    CheckConstraint("method IN ('stripe', 'wise', 'manual')", name="method"),
    CheckConstraint("NOT bank_leg OR method = 'stripe'", name="bank_leg"),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    id_column(),
    Column("gateway_account_id", BigInteger, ForeignKey("gateway_accounts.id"), nullable=False),
    # `connect`: of the endpoint for events of connected accounts; `platform`: an old one of the account's
    # own endpoint, whose present one is in gateway_accounts.
    Column("kind", Text, nullable=False),
    Column("secret_encrypted", LargeBinary, nullable=False),
    created_at(),
    # Real time; NULL: valid until it is replaced.
    at_column("expires_at", nullable=True),
    CheckConstraint("kind IN ('platform', 'connect')", name="kind"),
    CheckConstraint("kind = 'connect' OR expires_at IS NOT NULL", name="old_ones_expire"),
    Index(
        "uq_webhook_secrets_current",
        "gateway_account_id",
        "kind",
        unique=True,
        postgresql_where=text("expires_at IS NULL"),
    ),
)
