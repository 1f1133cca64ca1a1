"""Table of polls: how far a gateway's events were read, account by account."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

event_polls = Table(
    "event_polls",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("platform_account", String(255), nullable=False),
    # The connected account whose events these are; '' for those of the account that pays.
    Column("account", String(255), nullable=False, server_default=text("''")),
    # The gateway's clock: events up to here were read, but for those that it shows late.
    at_column("read_until", nullable=False),
    # The reading that is under way: from when (the gateway's clock), the newest event that it saw, the
    # oldest one that it kept (the next page follows it), and when it began (real time).
    at_column("from_at", nullable=True),
    at_column("newest_at", nullable=True),
    Column("page_after", String(255), nullable=True),
    at_column("began_at", nullable=True),
    # Real time: when the last reading that was finished began, and when the gateway was asked last.
    at_column("complete_at", nullable=True),
    at_column("asked_at", nullable=True),
    # Events that polling brought, and those of them that a webhook should have brought long before.
    Column("stored", BigInteger, nullable=False, server_default=text("0")),
    Column("missed", BigInteger, nullable=False, server_default=text("0")),
    # Why the last call gave nothing.
    Column("error", String(500), nullable=True),
    created_at(),
    UniqueConstraint("merchant_id", "method", "platform_account", "account"),
    CheckConstraint("(from_at IS NULL) = (began_at IS NULL)", name="window_is_begun"),
    CheckConstraint("page_after IS NULL OR from_at IS NOT NULL", name="page_of_window"),
)
