"""The limit of ingest: COPY of the very same final rows, all indexes, constraints and triggers on."""

import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import psycopg
from sqlalchemy import Engine

TABLES: Final = {
    "attributions": "ORDER BY id",
    "inbox_events": "ORDER BY id",
    "ledger_accounts": "ORDER BY id",
    "trackings": "ORDER BY id",
    "earnings": "ORDER BY id",
    "ledger_transfers": "ORDER BY id",
}
"""What ingest writes, in order of their references, and in which order it lies there."""
RULED: Final = TABLES | {
    "referrer_states": "ORDER BY id",
    "referrer_periods": "ORDER BY state_id, period, starts_at",
    "velocity_counts": "ORDER BY program_id, per, subject, day",
    # Those of the owners of codes are there before.
    "email_hashes": "WHERE user_id NOT LIKE '%owner-%' ORDER BY merchant_id, user_id",
}
"""What it writes with all rules on. (It also counts the uses of codes, in rows that are there before.)"""


def dump(engine: Engine, tables: Mapping[str, str] = TABLES) -> dict[str, bytes]:
    """The rows of each table, in its order, as COPY writes them."""
    dumped = {}
    with engine.connect() as tx, _cursor(tx) as cursor:
        for table, order in tables.items():
            with cursor.copy(f"COPY (SELECT * FROM {table} {order}) TO STDOUT") as copy:
                dumped[table] = b"".join(copy)
    return dumped


def load(engine: Engine, rows: dict[str, bytes]) -> float:
    """Write the rows over one connection in one transaction; returns its seconds, commit included."""
    with engine.connect() as tx, _cursor(tx) as cursor:
        cursor.execute("SELECT 1")  # opens the transaction
        started = time.monotonic()
        for table, lines in rows.items():
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(lines)
        cursor.connection.commit()
        return time.monotonic() - started


def checksum(rows: dict[str, bytes]) -> str:
    """One SHA-256 over all rows of all tables."""
    digest = sha256()
    for lines in rows.values():
        digest.update(lines)
    return digest.hexdigest()


def _cursor(tx: Any) -> "psycopg.Cursor[Any]":
    driver: psycopg.Connection[Any] = tx.connection.driver_connection
    return driver.cursor()
