"""Table of shortfalls: where a gateway's balance was too small, and what may be sent meanwhile."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text, text

from domain.db import at_column, created_at, id_column, metadata

payout_shortfalls = Table(
    "payout_shortfalls",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("currency", Text, nullable=False),
    # In minor units: what the balance was last seen to suffice for, less what was begun since.
    Column("available", BigInteger, nullable=False, server_default=text("0")),
    created_at(),
    # Real time: when the gateway is asked for its balance, and how often it was since that helped.
    at_column("probe_at"),
    Column("probes", BigInteger, nullable=False, server_default=text("0")),
    at_column("ended_at", nullable=True),
    CheckConstraint("available >= 0", name="available"),
    Index(
        "uq_payout_shortfalls_in_force",
        "merchant_id",
        "method",
        "currency",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
)
