"""Announcements of points that are about to expire."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Table, UniqueConstraint

from domain.db import at_column, created_at, id_column, metadata

# Append-only: what was announced, once for each card and deadline.
expiry_notices = Table(
    "expiry_notices",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=False),
    Column("card_id", BigInteger, nullable=False),
    at_column("deadline"),
    Column("points", BigInteger, nullable=False),
    # Business time of the sweep.
    at_column("noticed_at"),
    created_at(),
    CheckConstraint("points > 0", name="points_positive"),
    CheckConstraint("noticed_at < deadline", name="ahead"),
    UniqueConstraint("card_id", "deadline"),
    Index("ix_expiry_notices_merchant", "merchant_id", "id"),
)
