"""Tables of the scheduler: schedules, and one row for each fire.

The primary key (name, fire_at) makes each fire happen once, however many schedulers run. The fire and
its outbox row commit together; a fire has a state and is resumed from it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, metadata

schedules = Table(
    "schedules",
    metadata,
    # Names include the merchant where there is one: `payouts.run/acme/monthly`.
    Column("name", String(255), primary_key=True),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=True),
    Column("queue", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("args", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # Either a cron expression in an IANA zone, on business time …
    Column("cron", Text, nullable=True),
    Column("zone", Text, nullable=False, server_default=text("'UTC'")),
    # … or an interval, on real time (technical sweeps).
    Column("every_seconds", Integer, nullable=True),
    Column("catch_up", Text, nullable=False, server_default=text("'latest'")),
    at_column("next_fire_at"),
    at_column("last_tick_at", nullable=True),
    at_column("paused_at", nullable=True),
    Column("paused_by", Text, nullable=True),
    Column("pause_reason", Text, nullable=True),
    created_at(),
    CheckConstraint("(cron IS NULL) <> (every_seconds IS NULL)", name="cron_or_interval"),
    CheckConstraint("every_seconds IS NULL OR every_seconds > 0", name="interval_positive"),
    CheckConstraint("catch_up IN ('latest', 'all')", name="catch_up"),
    Index("ix_schedules_due", "next_fire_at", postgresql_where=text("paused_at IS NULL")),
)

schedule_fires = Table(
    "schedule_fires",
    metadata,
    Column("name", String(255), ForeignKey("schedules.name"), nullable=False),
    at_column("fire_at"),
    Column("state", Text, nullable=False, server_default=text("'emitted'")),
    Column("manual", Boolean, nullable=False, server_default=text("false")),
    created_at(),
    at_column("emitted_at"),
    Column("emit_count", Integer, nullable=False, server_default=text("1")),
    at_column("started_at", nullable=True),
    at_column("finished_at", nullable=True),
    Column("progress", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("error", Text, nullable=True),
    PrimaryKeyConstraint("name", "fire_at"),
    CheckConstraint("state IN ('emitted', 'running', 'done', 'failed')", name="state"),
    CheckConstraint("(state IN ('done', 'failed')) = (finished_at IS NOT NULL)", name="finished"),
    Index(
        "ix_schedule_fires_open",
        "emitted_at",
        postgresql_where=text("state IN ('emitted', 'running')"),
    ),
)

scheduler_clock = Table(
    "scheduler_clock",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    # A tick: PostgreSQL's clock, and beside it the seconds since the boot of the scheduler's machine.
    at_column("ticked_at"),
    Column("boot", Text, nullable=False),
    Column("elapsed_seconds", Double, nullable=False),
    # Since when nothing fires, because the clock jumped by so much; NULL: it did not.
    at_column("held_at", nullable=True),
    Column("jump_seconds", Double, nullable=True),
    # Counts what people accepted: every scheduler then begins to measure anew.
    Column("accepted", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("(held_at IS NULL) = (jump_seconds IS NULL)", name="held_for_a_jump"),
)
