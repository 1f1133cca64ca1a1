"""Tables of what charts show: one number a minute for each thing, and how long actors took; kept for a week."""

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Column, Index, Table, Text, text

from domain.db import at_column, metadata

metric_minutes = Table(
    "metric_minutes",
    metadata,
    Column("name", Text, primary_key=True),
    # A queue, or a currency; empty where there is only one.
    Column("label", Text, primary_key=True, server_default=text("''")),
    Column("at", at_column("at").type, primary_key=True),
    Column("value", BigInteger, nullable=False),
    CheckConstraint("at = date_trunc('minute', at, 'UTC')", name="whole_minute"),
    Index("ix_metric_minutes_at", "at"),
)

actor_minutes = Table(
    "actor_minutes",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("at", at_column("at").type, primary_key=True),
    # Messages by how long they took, in the buckets of `rules.BOUNDS`.
    Column("counts", ARRAY(BigInteger), nullable=False),
    Column("failed", BigInteger, nullable=False),
    # What all of them took together, in milliseconds of one thread.
    Column("busy_ms", BigInteger, nullable=False),
    CheckConstraint("at = date_trunc('minute', at, 'UTC')", name="whole_minute"),
    CheckConstraint("cardinality(counts) = 41", name="buckets"),
    Index("ix_actor_minutes_at", "at"),
)
