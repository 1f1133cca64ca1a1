"""Points that expired and were restored by an operator."""

from sqlalchemy import BigInteger, CheckConstraint, Column, PrimaryKeyConstraint, String, Table

from domain.db import at_column, created_at, metadata

# Append-only: once for each name that a request gives.
point_restores = Table(
    "point_restores",
    metadata,
    Column("merchant_id", BigInteger, nullable=False),
    Column("request_id", String(255), nullable=False),
    Column("card_id", BigInteger, nullable=False),
    # NULL: all that had expired.
    Column("asked", BigInteger, nullable=True),
    Column("points", BigInteger, nullable=False),
    # UTC, exclusive.
    at_column("expires_at"),
    Column("reason", String(500), nullable=False),
    # Business time.
    at_column("restored_at"),
    created_at(),
    PrimaryKeyConstraint("merchant_id", "request_id"),
    CheckConstraint("points > 0 AND (asked IS NULL OR asked = points)", name="points"),
    CheckConstraint("restored_at < expires_at", name="ahead"),
)
