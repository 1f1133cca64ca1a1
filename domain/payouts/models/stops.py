"""Table of stops: who or what keeps payouts from being sent, how widely, and why.

One table for the kill switch, for an open circuit breaker and for a database that may have forgotten
attempts, so that a send looks in one place.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    text,
)

from domain.db import at_column, created_at, id_column, metadata

payout_stops = Table(
    "payout_stops",
    metadata,
    id_column(),
    # `kill_switch`: a person; `breaker`: the gateway does not answer or refuses our key; `failover`: the
    # database may have forgotten attempts.
    Column("kind", Text, nullable=False),
    # NULL: all merchants; NULL: all methods.
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=True),
    Column("method", Text, nullable=True),
    Column("reason", String(500), nullable=False),
    Column("stopped_by", String(255), nullable=False),
    created_at(),
    # Real time: when an open breaker asks the gateway whether it is back.
    at_column("probe_at", nullable=True),
    Column("probes", BigInteger, nullable=False, server_default=text("0")),
    at_column("lifted_at", nullable=True),
    Column("lifted_by", String(255), nullable=True),
    # After a failover: from when on the gateways' books are matched before it may be lifted (real time).
    at_column("compare_from", nullable=True),
    CheckConstraint("kind IN ('kill_switch', 'breaker', 'failover')", name="kind"),
    CheckConstraint("method IN ('stripe', 'wise', 'manual')", name="method"),
    CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted_by_whom"),
    CheckConstraint(
        "kind <> 'breaker' OR (merchant_id IS NOT NULL AND method IS NOT NULL)",
        name="breaker_of_one",
    ),
    CheckConstraint("kind = 'failover' OR compare_from IS NULL", name="failover_compares"),
    # One of a kind and reach is in force; its reason can be read from it.
    Index(
        "uq_payout_stops_in_force",
        "kind",
        text("coalesce(merchant_id, 0)"),
        text("coalesce(method, '')"),
        unique=True,
        postgresql_where=text("lifted_at IS NULL"),
    ),
)
