"""Table of the dead letters: messages that their queue gave up on, until a person decides."""

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

RAW_BYTES_MAX: Final = 4 * 1024 * 1024
"""Largest message that is kept; packed events have at most 1 MiB. Of a larger one only the size is."""
ARGS_CHARACTERS_MAX: Final = 10_000
"""What of the arguments is shown; all of them are in the message."""
REASON_CHARACTERS_MAX: Final = 500
TRACE_CHARACTERS_MAX: Final = 10_000
"""The end of a stack trace says where it happened."""
NAME_CHARACTERS_MAX: Final = 255

# No merchant: what cannot be read, or kills whoever reads it, does not say reliably whose it is.
dead_letters = Table(
    "dead_letters",
    metadata,
    id_column(),
    Column("queue", String(NAME_CHARACTERS_MAX), nullable=False),
    Column("redis_message_id", String(NAME_CHARACTERS_MAX), nullable=False),
    Column("actor", String(NAME_CHARACTERS_MAX), nullable=True),
    Column("args", String(ARGS_CHARACTERS_MAX), nullable=True),
    Column("raw", LargeBinary, nullable=True),
    Column("raw_bytes", Integer, nullable=False),
    Column("reason", String(REASON_CHARACTERS_MAX), nullable=False),
    Column("trace", String(TRACE_CHARACTERS_MAX), nullable=True),
    Column("attempts", Integer, nullable=False),
    # Workers that died while they held it.
    Column("deaths", Integer, nullable=False),
    Column(
        "died_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()
    ),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("decided_by", String(NAME_CHARACTERS_MAX), nullable=True),
    at_column("decided_at", nullable=True),
    # The id under which a retried message went back to its queue.
    Column("retried_as", String(NAME_CHARACTERS_MAX), nullable=True),
    # When the message, its arguments and its trace went: some time after the decision (see domain.retention).
    at_column("pruned_at", nullable=True),
    created_at(),
    UniqueConstraint("queue", "redis_message_id"),
    CheckConstraint("state IN ('open', 'retried', 'discarded')", name="state"),
    CheckConstraint(
        "(state = 'open') = (decided_by IS NULL) AND (state = 'open') = (decided_at IS NULL)",
        name="decided",
    ),
    CheckConstraint("(state = 'retried') = (retried_as IS NOT NULL)", name="retried_as_given"),
    CheckConstraint(f"raw IS NULL OR octet_length(raw) <= {RAW_BYTES_MAX}", name="raw_length"),
    CheckConstraint(
        "pruned_at IS NULL OR (state <> 'open' AND raw IS NULL AND args IS NULL AND trace IS NULL)",
        name="pruned",
    ),
    Index(
        "ix_dead_letters_prunable",
        "decided_at",
        "id",
        postgresql_where=text("state <> 'open' AND pruned_at IS NULL"),
    ),
    Index("ix_dead_letters_open", "queue", "id", postgresql_where=text("state = 'open'")),
    Index("ix_dead_letters_open_id", "id", postgresql_where=text("state = 'open'")),
    Index("ix_dead_letters_actor", "actor", "id", postgresql_where=text("state = 'open'")),
)
