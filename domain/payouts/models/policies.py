"""Tables of a merchant's payout policy: when a person has to approve a run, and what is never paid."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from domain.db import at_column, metadata

payout_policies = Table(
    "payout_policies",
    metadata,
    Column(
        "merchant_id", BigInteger, ForeignKey("merchants.id"), primary_key=True, autoincrement=False
    ),
    Column("approval", Text, nullable=False),
    # How long after it was frozen a run can be approved.
    Column("approval_hours", Integer, nullable=False, server_default=text("72")),
    # How long after it became known or changed a destination is paid nothing.
    Column("cooling_off_hours", Integer, nullable=False, server_default=text("0")),
    at_column("updated_at", nullable=True),
    CheckConstraint("approval IN ('never', 'above_limits', 'always')", name="approval"),
    CheckConstraint("approval_hours BETWEEN 1 AND 8760", name="approval_hours"),
    CheckConstraint("cooling_off_hours BETWEEN 0 AND 8760", name="cooling_off_hours"),
)

payout_limits = Table(
    "payout_limits",
    metadata,
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("currency", Text, nullable=False),
    # Largest payout, and largest sum of a run, that needs no person; minor units, NULL: any.
    Column("auto_payout", BigInteger, nullable=True),
    Column("auto_run", BigInteger, nullable=True),
    # The smallest payout; NULL: what a schedule or a command says.
    Column("minimum", BigInteger, nullable=True),
    # What is never exceeded: by a payout, by a payee or the merchant in a day, by a run; NULL: any.
    Column("max_payout", BigInteger, nullable=True),
    Column("max_payee_day", BigInteger, nullable=True),
    Column("max_day", BigInteger, nullable=True),
    Column("max_run", BigInteger, nullable=True),
    # What one person adjusts alone within a week; NULL: as the rules say.
    Column("adjust_alone", BigInteger, nullable=True),
    PrimaryKeyConstraint("merchant_id", "currency"),
    CheckConstraint("auto_payout >= 0", name="auto_payout"),
    CheckConstraint("auto_run >= 0", name="auto_run"),
    CheckConstraint("adjust_alone >= 0", name="adjust_alone"),
    CheckConstraint("minimum >= 0 AND minimum <= max_payout", name="minimum"),
    CheckConstraint(
        "max_payout >= 0 AND max_payee_day >= 0 AND max_day >= 0 AND max_run >= 0", name="hard"
    ),
)

# What a run pays in a currency: counted by a trigger as its payouts are made, given back as they are
# canceled. The day is its run's.
payout_run_totals = Table(
    "payout_run_totals",
    metadata,
    Column("run_id", BigInteger, ForeignKey("payout_runs.id"), nullable=False),
    Column("currency", Text, nullable=False),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("day", Date, nullable=False),
    Column("payouts", BigInteger, nullable=False),
    # Minor units; sums of bigints may be larger than one.
    Column("amount", Numeric(38, 0), nullable=False),
    PrimaryKeyConstraint("run_id", "currency"),
    CheckConstraint("payouts >= 0 AND amount >= 0", name="not_negative"),
    Index("ix_payout_run_totals_day", "merchant_id", "day", "currency"),
)
