"""Two clocks. Business time drives rules, ``available_at`` and schedules, and may be simulated;
leases, heartbeats and key ages always use PostgreSQL's real clock.

The simulated time is one row that every process reads. It exists only beside the sandbox, moves only
forward, and every move wakes the scheduler.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, Column, DateTime, SmallInteger, Table, text

from domain.db import Tx, metadata
from domain.errors import Forbidden, Invalid

SCHEDULER_CHANNEL: Final = "payspool_schedules"
"""NOTIFY channel that wakes the scheduler at once."""

business_clock = Table(
    "business_clock",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("simulated_at", DateTime(timezone=True), nullable=True),
    CheckConstraint("id = 1", name="one_row"),
)


def business_now(tx: Tx) -> datetime:
    """Business time: the simulated time if one is set, else PostgreSQL's clock. UTC."""
    now: datetime = tx.execute(_BUSINESS_NOW).scalar_one()
    return now


BUSINESS_NOW: Final = (
    "coalesce((SELECT simulated_at FROM business_clock WHERE id = 1), clock_timestamp())"
)
"""Business time as an expression, for a statement that would otherwise need another one before it."""
_BUSINESS_NOW: Final = text(f"SELECT {BUSINESS_NOW}")


def real_now(tx: Tx) -> datetime:
    """PostgreSQL's real clock, UTC: for leases, heartbeats, ``sent_at`` and key ages."""
    now: datetime = tx.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def simulated_at(tx: Tx) -> datetime | None:
    """The simulated business time, or None where business time is real."""
    return tx.execute(text("SELECT simulated_at FROM business_clock WHERE id = 1")).scalar()


def simulate(tx: Tx, at: datetime, *, sandbox: bool) -> None:
    """Move business time to ``at`` and wake the scheduler.

    Raises Forbidden without the sandbox (real money never runs on a made-up clock), and Invalid if
    ``at`` lies before the present simulated time (a deadline that passed stays passed).
    """
    if not sandbox:
        raise Forbidden(
            "Business time can be simulated only with the Stripe sandbox; this installation uses a real gateway."
        )
    if at.tzinfo is None:
        raise Invalid("at", "give an offset, for instance 1997-01-01T00:00:00Z")
    moved = tx.execute(
        text(
            """
            INSERT INTO business_clock AS c (id, simulated_at) VALUES (1, :at)
            ON CONFLICT (id) DO UPDATE SET simulated_at = excluded.simulated_at
            WHERE c.simulated_at IS NULL OR c.simulated_at <= excluded.simulated_at
            """
        ),
        {"at": at},
    )
    if moved.rowcount == 0:
        raise Invalid("at", f"business time is already later than {at.isoformat()}")
    tx.execute(text(f"NOTIFY {SCHEDULER_CHANNEL}"))


def go_real(tx: Tx) -> bool:
    """Let business time be the real time again; returns False if it is.

    Raises Forbidden while the simulated time is ahead: business time never goes back, and what was
    earned, fired or paid as of then would lie in the future.
    """
    simulated = simulated_at(tx)
    if simulated is None:
        return False
    moved = tx.execute(
        text(
            """
            UPDATE business_clock SET simulated_at = NULL
            WHERE id = 1 AND simulated_at <= clock_timestamp()
            """
        )
    )
    if moved.rowcount == 0:
        raise Forbidden(
            f"Business time is simulated as {simulated:%Y-%m-%d %H:%M:%S} UTC, which is still to come: it"
            " never goes back, because what was earned, fired and paid by then would lie in the future."
            " Begin with an empty database (another PAYSPOOL_DATA_DIR), or wait until then."
        )
    tx.execute(text(f"NOTIFY {SCHEDULER_CHANNEL}"))
    return True
