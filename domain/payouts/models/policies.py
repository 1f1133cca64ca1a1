"""Tables of a merchant's payout policy: when a person has to approve a run."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
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
    PrimaryKeyConstraint("merchant_id", "currency"),
    CheckConstraint("auto_payout >= 0", name="auto_payout"),
    CheckConstraint("auto_run >= 0", name="auto_run"),
)
