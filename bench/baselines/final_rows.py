"""The limit of ingest: COPY of the very same final rows, all indexes, constraints and triggers on."""

import time
from hashlib import sha256
from typing import Any, Final

import psycopg
from sqlalchemy import Engine

TABLES: Final = (
    "attributions",
    "inbox_events",
    "ledger_accounts",
    "trackings",
    "earnings",
    "ledger_transfers",
)
"""What ingest writes, in order of their references."""


def dump(engine: Engine) -> dict[str, bytes]:
    """The rows of each table, by id, as COPY writes them."""
    dumped = {}
    with engine.connect() as tx, _cursor(tx) as cursor:
        for table in TABLES:
            with cursor.copy(f"COPY (SELECT * FROM {table} ORDER BY id) TO STDOUT") as copy:
                dumped[table] = b"".join(copy)
    return dumped


def load(engine: Engine, rows: dict[str, bytes]) -> float:
    """Write the rows over one connection in one transaction; returns its seconds, commit included."""
    with engine.connect() as tx, _cursor(tx) as cursor:
        cursor.execute("SELECT 1")  # opens the transaction
        started = time.monotonic()
        for table in TABLES:
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(rows[table])
        cursor.connection.commit()
        return time.monotonic() - started


def checksum(rows: dict[str, bytes]) -> str:
    """One SHA-256 over all rows of all tables."""
    digest = sha256()
    for table in TABLES:
        digest.update(rows[table])
    return digest.hexdigest()


def _cursor(tx: Any) -> "psycopg.Cursor[Any]":
    driver: psycopg.Connection[Any] = tx.connection.driver_connection
    return driver.cursor()
