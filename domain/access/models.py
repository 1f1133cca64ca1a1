"""Tables of access: API keys, and people with their sessions. What lets somebody in is stored as a hash."""

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
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from domain.db import at_column, created_at, id_column, metadata

api_keys = Table(
    "api_keys",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("mode", Text, nullable=False),
    Column("name", String(255), nullable=False),
    Column("prefix", Text, nullable=False),
    # SHA-256 of a 256-bit random secret: nothing to guess, so no slow hash is needed.
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    # Requests a second that the API answers it; NULL: as many as the settings say.
    Column("rate_per_second", Integer, nullable=True),
    created_at(),
    at_column("expires_at", nullable=True),
    # To the minute: a busy key costs one write a minute.
    at_column("last_used_at", nullable=True),
    at_column("revoked_at", nullable=True),
    ForeignKeyConstraint(["merchant_id", "mode"], ["merchants.id", "merchants.mode"]),
    CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash_length"),
    CheckConstraint("rate_per_second > 0", name="rate_per_second"),
)

users = Table(
    "users",
    metadata,
    id_column(),
    # What the audit trail and approvals name: never given to another person, so never deleted.
    Column("name", String(100), nullable=False, unique=True),
    Column("role", Text, nullable=False),
    # argon2id; NULL: this person signs in by links (or a trusted proxy) only.
    Column("password_hash", Text, nullable=True),
    # Wrong passwords in a row, and until when no password is looked at.
    Column("failures", Integer, nullable=False, server_default=text("0")),
    at_column("locked_until", nullable=True),
    created_at(),
    at_column("signed_in_at", nullable=True),
    at_column("disabled_at", nullable=True),
    CheckConstraint("name ~ '^[a-z0-9][a-z0-9._@-]*$'", name="name_form"),
    CheckConstraint("role IN ('viewer', 'operator', 'approver', 'admin')", name="role"),
    CheckConstraint("starts_with(password_hash, '$argon2id$')", name="password_is_argon2"),
    CheckConstraint("failures >= 0", name="failures"),
)

user_sessions = Table(
    "user_sessions",
    metadata,
    id_column(),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    # SHA-256 of a 256-bit random token, as for API keys.
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    created_at(),
    at_column("expires_at"),
    at_column("ended_at", nullable=True),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash_length"),
    Index("ix_user_sessions_user", "user_id"),
    Index("ix_user_sessions_expires", "expires_at"),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    id_column(),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("created_by", String(255), nullable=False),
    created_at(),
    at_column("expires_at"),
    at_column("used_at", nullable=True),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash_length"),
    Index("ix_sign_in_links_user", "user_id"),
)
