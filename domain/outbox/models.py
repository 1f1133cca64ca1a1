"""Tables of the outbox: work asked for in the same transaction as what it follows from.

The relay enqueues a row and deletes it. Every message refers to a row that has a state of its own, so
a message that is lost, doubled or late costs time, not money.
"""

from sqlalchemy import BigInteger, Column, DateTime, Index, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata

outbox = Table(
    "outbox",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, nullable=True),
    Column("queue", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("args", JSONB, nullable=False),
    # Real time: the earliest moment at which the relay may enqueue it.
    Column(
        "run_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()
    ),
    created_at(),
    Index("ix_outbox_run_at", "run_at", "id"),
)

queue_pauses = Table(
    "queue_pauses",
    metadata,
    # A person's stop. Workers heed the copy in Valkey, which may lose it; this one brings it back.
    Column("queue", Text, primary_key=True),
    Column("paused_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    at_column("paused_at"),
)
