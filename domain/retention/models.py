"""Tables of retention: how far each subject was looked through, and the files that hold what went."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    Table,
    Text,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

retention_marks = Table(
    "retention_marks",
    metadata,
    Column("subject", Text, primary_key=True),
    # Rows up to this id were looked at; the next run goes on behind it.
    Column("upto", BigInteger, nullable=False, server_default=text("0")),
    Column("pruned", BigInteger, nullable=False, server_default=text("0")),
    # What the newest run was told: days, 0 for ever; and whether it archived.
    Column("days", Integer, nullable=True),
    Column("archived", Boolean, nullable=True),
    at_column("ran_at", nullable=True),
    CheckConstraint("subject IN ('events', 'dead_letters')", name="subject"),
    CheckConstraint("upto >= 0 AND pruned >= 0 AND days >= 0", name="counts"),
)

retention_archives = Table(
    "retention_archives",
    metadata,
    id_column(),
    Column("subject", Text, ForeignKey("retention_marks.subject"), nullable=False),
    Column("file", Text, nullable=False, unique=True),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    created_at(),
    CheckConstraint("rows > 0 AND bytes > 0 AND first_id <= last_id", name="rows"),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
)
