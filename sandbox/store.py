"""The sandbox's database: one SQLite file, one connection, one writer.

WAL with synchronous=NORMAL: a commit is in the operating system's hands before it is answered, so
it survives the death of the process (kill -9 included); only a power cut may take the last commits,
which no test of a payer's own exactness needs. FULL would cost an fsync for every request.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError

FILE_NAME = "books.sqlite3"
SCHEMA_VERSION = "2"
_LOCK_WAIT_SECONDS = 5.0
_CACHED_STATEMENTS = 512

Row = sqlite3.Row

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE accounts (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, platform TEXT REFERENCES accounts (id),
    state TEXT NOT NULL CHECK (state IN ('active', 'restricted', 'deauthorized', 'closed')),
    deleted INTEGER NOT NULL DEFAULT 0, country TEXT NOT NULL, default_currency TEXT NOT NULL,
    type TEXT NOT NULL, email TEXT, profile TEXT NOT NULL, metadata TEXT NOT NULL,
    asked TEXT, created INTEGER NOT NULL
);
CREATE INDEX accounts_by_platform ON accounts (platform, seq);
CREATE TABLE api_keys (
    digest TEXT PRIMARY KEY, platform TEXT NOT NULL REFERENCES accounts (id)
) WITHOUT ROWID;
CREATE TABLE capabilities (
    account TEXT NOT NULL REFERENCES accounts (id), name TEXT NOT NULL,
    requested INTEGER NOT NULL, requested_at INTEGER, status TEXT, PRIMARY KEY (account, name)
) WITHOUT ROWID;
CREATE TABLE account_links (
    token TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (id), refresh_url TEXT,
    return_url TEXT, created INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Double entry: a row debits one ledger account and credits another, so that it balances by itself.
-- Ledger accounts are `<account>:available`, `<account>:pending` and `world:<where from or to>`.
CREATE TABLE postings (
    seq INTEGER PRIMARY KEY, debit TEXT NOT NULL, credit TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, kind TEXT NOT NULL,
    source TEXT NOT NULL, created INTEGER NOT NULL, CHECK (debit <> credit)
);
CREATE INDEX postings_by_source ON postings (source);
CREATE TRIGGER postings_are_never_updated BEFORE UPDATE ON postings
    BEGIN SELECT RAISE(ABORT, 'postings are append-only'); END;
CREATE TRIGGER postings_are_never_deleted BEFORE DELETE ON postings
    BEGIN SELECT RAISE(ABORT, 'postings are append-only'); END;
CREATE TABLE balances (
    ledger TEXT NOT NULL, currency TEXT NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (ledger, currency)
) WITHOUT ROWID;
CREATE TABLE balance_transactions (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, type TEXT NOT NULL,
    net INTEGER NOT NULL, currency TEXT NOT NULL, source TEXT NOT NULL, description TEXT,
    created INTEGER NOT NULL, available_on INTEGER NOT NULL, settled INTEGER NOT NULL,
    fee INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX balance_transactions_by_account ON balance_transactions (account, seq);
CREATE INDEX balance_transactions_by_source ON balance_transactions (source);
CREATE INDEX balance_transactions_pending ON balance_transactions (available_on) WHERE settled = 0;

CREATE TABLE transfers (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    destination TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0),
    amount_reversed INTEGER NOT NULL DEFAULT 0
        CHECK (amount_reversed BETWEEN 0 AND amount),
    currency TEXT NOT NULL, description TEXT, metadata TEXT NOT NULL, transfer_group TEXT,
    source_transaction TEXT, source_type TEXT NOT NULL, destination_payment TEXT NOT NULL,
    balance_transaction TEXT NOT NULL, created INTEGER NOT NULL
);
CREATE INDEX transfers_by_account ON transfers (account, seq);
CREATE INDEX transfers_by_group ON transfers (transfer_group);
CREATE INDEX transfers_by_destination ON transfers (destination, currency);
CREATE INDEX transfers_by_charge ON transfers (source_transaction)
    WHERE source_transaction IS NOT NULL;
CREATE TABLE reversals (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    transfer TEXT NOT NULL REFERENCES transfers (id), amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL, metadata TEXT NOT NULL, balance_transaction TEXT NOT NULL,
    destination_payment_refund TEXT NOT NULL, created INTEGER NOT NULL
);
CREATE INDEX reversals_by_transfer ON reversals (transfer, seq);
CREATE TABLE charges (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0), amount_refunded INTEGER NOT NULL DEFAULT 0,
    currency TEXT NOT NULL, description TEXT, metadata TEXT NOT NULL, transfer_group TEXT,
    balance_transaction TEXT NOT NULL, source_transfer TEXT, receipt_email TEXT,
    statement_descriptor TEXT, statement_descriptor_suffix TEXT, created INTEGER NOT NULL
);
CREATE INDEX charges_by_account ON charges (account, seq);
CREATE TABLE refunds (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    charge TEXT NOT NULL REFERENCES charges (id), amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL, balance_transaction TEXT NOT NULL, source_transfer_reversal TEXT,
    created INTEGER NOT NULL
);
CREATE INDEX refunds_by_charge ON refunds (charge, seq);
CREATE TABLE external_accounts (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, country TEXT NOT NULL,
    currency TEXT NOT NULL, last4 TEXT NOT NULL, routing_number TEXT, fingerprint TEXT NOT NULL,
    account_holder_name TEXT, account_holder_type TEXT, account_type TEXT, metadata TEXT NOT NULL,
    is_default INTEGER NOT NULL, status TEXT NOT NULL, failure_code TEXT,
    deleted INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL
);
CREATE UNIQUE INDEX external_accounts_default ON external_accounts (account, currency)
    WHERE is_default = 1 AND deleted = 0;
CREATE TABLE payouts (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount <> 0), currency TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'in_transit', 'paid', 'failed', 'canceled')),
    arrival_date INTEGER NOT NULL, destination TEXT NOT NULL REFERENCES external_accounts (id),
    description TEXT, metadata TEXT NOT NULL, method TEXT NOT NULL, source_type TEXT NOT NULL,
    statement_descriptor TEXT, balance_transaction TEXT NOT NULL, failure_code TEXT,
    failure_balance_transaction TEXT, original_payout TEXT REFERENCES payouts (id),
    reversed_by TEXT REFERENCES payouts (id), fails_with TEXT, fails_after TEXT,
    created INTEGER NOT NULL
);
CREATE INDEX payouts_by_account ON payouts (account, seq);
-- What the sandbox's clock is still to bring: the next step of an object.
CREATE TABLE agenda (
    seq INTEGER PRIMARY KEY, due INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL UNIQUE
);
CREATE INDEX agenda_by_due ON agenda (due, seq);
CREATE TABLE topups (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, description TEXT,
    metadata TEXT NOT NULL, statement_descriptor TEXT, transfer_group TEXT, status TEXT NOT NULL,
    balance_transaction TEXT, expected_at INTEGER NOT NULL, failure_code TEXT, fails_with TEXT,
    created INTEGER NOT NULL
);
CREATE INDEX topups_by_account ON topups (account, seq);

CREATE TABLE wise_users (id INTEGER PRIMARY KEY, created INTEGER NOT NULL);
CREATE TABLE wise_tokens (
    digest TEXT PRIMARY KEY, user INTEGER NOT NULL REFERENCES wise_users (id)
) WITHOUT ROWID;
CREATE TABLE wise_profiles (
    id INTEGER PRIMARY KEY, user INTEGER NOT NULL REFERENCES wise_users (id), type TEXT NOT NULL,
    name TEXT NOT NULL, created INTEGER NOT NULL
);
CREATE TABLE wise_balances (
    id INTEGER PRIMARY KEY, profile INTEGER NOT NULL REFERENCES wise_profiles (id),
    currency TEXT NOT NULL, created INTEGER NOT NULL, UNIQUE (profile, currency)
);
CREATE TABLE wise_recipients (
    id INTEGER PRIMARY KEY, profile INTEGER NOT NULL REFERENCES wise_profiles (id),
    currency TEXT NOT NULL, country TEXT, type TEXT NOT NULL, name TEXT NOT NULL,
    details TEXT NOT NULL, owned INTEGER NOT NULL, active INTEGER NOT NULL, created INTEGER NOT NULL
);
-- Amounts are in minor units of their currencies; the fee is part of the source amount.
CREATE TABLE wise_quotes (
    id TEXT PRIMARY KEY, profile INTEGER NOT NULL REFERENCES wise_profiles (id),
    source_currency TEXT NOT NULL, target_currency TEXT NOT NULL, source_amount INTEGER NOT NULL,
    target_amount INTEGER NOT NULL, fee INTEGER NOT NULL, rate TEXT NOT NULL,
    provided TEXT NOT NULL, recipient INTEGER, pay_in TEXT NOT NULL, created INTEGER NOT NULL
);
CREATE TABLE wise_transfers (
    id INTEGER PRIMARY KEY, profile INTEGER NOT NULL REFERENCES wise_profiles (id),
    user INTEGER NOT NULL, recipient INTEGER NOT NULL REFERENCES wise_recipients (id),
    quote TEXT NOT NULL UNIQUE REFERENCES wise_quotes (id), customer_transaction_id TEXT NOT NULL,
    reference TEXT, status TEXT NOT NULL, stage INTEGER NOT NULL, funded_at INTEGER,
    bounces INTEGER NOT NULL, created INTEGER NOT NULL, UNIQUE (user, customer_transaction_id)
);
CREATE INDEX wise_transfers_by_profile ON wise_transfers (profile, id);
CREATE TABLE wise_subscriptions (
    id TEXT PRIMARY KEY, profile INTEGER NOT NULL REFERENCES wise_profiles (id), name TEXT NOT NULL,
    trigger_on TEXT NOT NULL, version TEXT NOT NULL, url TEXT NOT NULL, created INTEGER NOT NULL
);
CREATE TABLE wise_events (
    id TEXT PRIMARY KEY, profile INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL,
    created INTEGER NOT NULL
);

CREATE TABLE idempotency_keys (
    scope TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, request_id TEXT NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL, created INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    connected INTEGER NOT NULL, type TEXT NOT NULL, object TEXT NOT NULL, previous TEXT,
    request_id TEXT, idempotency_key TEXT, created INTEGER NOT NULL
);
CREATE INDEX events_by_account ON events (account, seq);
CREATE TABLE webhook_endpoints (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, url TEXT NOT NULL,
    enabled_events TEXT NOT NULL, description TEXT, metadata TEXT NOT NULL,
    connect INTEGER NOT NULL, api_version TEXT, secret TEXT NOT NULL, status TEXT NOT NULL,
    old_secret TEXT, old_secret_until INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL
);
CREATE TABLE webhook_deliveries (
    seq INTEGER PRIMARY KEY, event TEXT NOT NULL, endpoint TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, due REAL NOT NULL, fault TEXT,
    last_status INTEGER, last_error TEXT
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (event);
CREATE TABLE webhook_tries (
    seq INTEGER PRIMARY KEY, delivery INTEGER NOT NULL REFERENCES webhook_deliveries (seq),
    at REAL NOT NULL, status INTEGER, error TEXT, fault TEXT
);
CREATE INDEX webhook_tries_by_delivery ON webhook_tries (delivery);
"""


class BooksOfAnotherVersion(SandboxError):
    """The directory holds books that this version cannot read."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"{path} was written by schema {found}, this sandbox writes {SCHEMA_VERSION}; "
            "start it with another data directory, or with --reset."
        )
        self.path = path
        self.found = found


def digest(text: str) -> str:
    """Return the form in which API keys and parameters are kept and compared."""
    return hashlib.sha256(text.encode()).hexdigest()


def dump(value: Any) -> str:
    """Return compact JSON, as it is stored."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Store:
    """The connection that serves all requests, in the thread that opened it."""

    def __init__(self, directory: Path) -> None:
        """Open the books in `directory`, making both if they are not there.

        Raises:
            BooksOfAnotherVersion: the file was written by another schema.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / FILE_NAME
        # SQLite gives its -wal and -shm the rights of the file itself.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self.path.chmod(0o600)
        self.db = sqlite3.connect(
            self.path,
            isolation_level=None,
            timeout=_LOCK_WAIT_SECONDS,
            cached_statements=_CACHED_STATEMENTS,
        )
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute("PRAGMA foreign_keys = ON")
        self._prepare()

    def _prepare(self) -> None:
        tables = self.one("SELECT 1 FROM sqlite_master WHERE name = 'meta'")
        if tables is None:
            self.db.executescript("BEGIN IMMEDIATE;" + _SCHEMA)
            self.set_meta("schema", SCHEMA_VERSION)
            self.db.execute("COMMIT")
        found = self.meta("schema", "none")
        if found != SCHEMA_VERSION:
            raise BooksOfAnotherVersion(self.path, found)

    def close(self) -> None:
        """Close the books; what was committed stays."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what happens inside, or nothing of it."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what happens inside if it raises, leaving the transaction around it open."""
        self.db.execute("SAVEPOINT step")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK TO step")
            self.db.execute("RELEASE step")
            raise
        self.db.execute("RELEASE step")

    def one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row, or None."""
        row: Row | None = self.db.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Return every row."""
        return self.db.execute(sql, values).fetchall()

    def run(self, sql: str, *values: Any) -> int:
        """Execute a statement and return how many rows it changed."""
        return self.db.execute(sql, values).rowcount

    def insert(self, table: str, **columns: Any) -> None:
        """Insert one row. Table and columns are names of this schema, never a caller's text."""
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        self.db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608
            tuple(columns.values()),
        )

    def meta(self, key: str, default: str) -> str:
        """Return a setting kept in the books."""
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        return default if row is None else str(row["value"])

    def set_meta(self, key: str, value: str) -> None:
        """Keep a setting in the books."""
        self.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = ?2", key, value)
