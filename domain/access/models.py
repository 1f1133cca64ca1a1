"""Tables of access: API keys. A key is shown once and stored as a hash."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
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
