"""Waiting for another transaction to wait: how a test puts two of them in a certain order."""

from __future__ import annotations

import time

from sqlalchemy import Connection, Engine, text

from domain.db import transaction

PATIENCE = 20.0
"""Seconds after which something that a test waits for counts as never happening."""


def until_one_waits_for(engine: Engine, holder: Connection) -> None:
    """Return once another session waits for a lock that ``holder``'s transaction has."""
    pid = holder.execute(text("SELECT pg_backend_pid()")).scalar_one()
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        with transaction(engine) as tx:
            waits = text(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
                " AND :pid = ANY (pg_blocking_pids(pid)))"
            )
            if tx.execute(waits, {"pid": pid}).scalar_one():
                return
        time.sleep(0.002)
    raise AssertionError("nobody waits for this transaction")
