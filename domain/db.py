"""The database edge: metadata, engine, the one place where a transaction opens, and bulk writes.

Stores take an open connection (``tx``) and never commit. READ COMMITTED throughout; the global lock
order is: inbox row, correlation lock, code, referrer, card, payee, ledger account, payout, attempt;
ids ascend inside each.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Final, LiteralString

import psycopg
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Engine,
    Identity,
    MetaData,
    Table,
    create_engine,
    event,
    func,
    text,
)
from sqlalchemy.engine import ExceptionContext

from domain.bulk import copy_block, send_lists_packed

Tx = Connection
"""An open transaction. Whoever opened it commits; nobody else does."""

LOCK_TIMEOUT_MS: Final = 20_000
"""Longest wait for a lock before the statement fails and its message is retried."""
STATEMENT_TIMEOUT_MS: Final = 300_000
"""Longest statement (a sweep's range, a run's shard); a runaway one is ended by the server."""
IDLE_IN_TRANSACTION_MS: Final = 60_000
"""A worker that hangs inside a transaction loses it, so that its locks do not outlive it."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[int]:
    """The primary key of almost every table: an identity that the database hands out."""
    return Column("id", BigInteger, Identity(always=False), primary_key=True)


def at_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """A UTC timestamp that the writer gives (business time, or a time from outside)."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def created_at() -> Column[Any]:
    """When the row was written, by PostgreSQL's real clock.

    The statement's time: with a default that may differ from row to row, as ``clock_timestamp()``, COPY
    falls back to inserting row by row.
    """
    return Column(
        "created_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.statement_timestamp(),
    )


def connect(url: str, *, pool_size: int = 5, application_name: str = "payspool") -> Engine:
    """Make an engine for ``url`` (``postgresql+psycopg://…``). Connects only when first used."""
    options = (
        f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT_MS}"
        f" -c statement_timeout={STATEMENT_TIMEOUT_MS}"
        f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}"
    )
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # they hold people's data, and errors are logged and stored
        connect_args={
            "options": options,
            "application_name": application_name[:63],
            "connect_timeout": 5,
            # A database host that vanishes without a word frees its threads after 10 s.
            "tcp_user_timeout": 10_000,
            "prepare_threshold": 3,
        },
    )
    event.listen(engine, "connect", _send_lists_in_binary)
    event.listen(engine, "handle_error", _drop_useless)
    return engine


def _send_lists_in_binary(connection: "psycopg.Connection[Any]", _record: object) -> None:
    send_lists_packed(connection)


_USELESS: Final = (psycopg.errors.FeatureNotSupported, psycopg.errors.ReadOnlySqlTransaction)
"""What a connection answers for as long as it lives, while a new one may do better.

0A000, "cached plan must not change result type": a migration has outdated its prepared statements, and
an old worker beside a new schema would never work again. 25006: after a failover it leads to the server
that was demoted, which is well and answers every ping.
"""


def _drop_useless(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, _USELESS):
        context.is_disconnect = True


@contextmanager
def transaction(engine: Engine) -> Iterator[Tx]:
    """Open the one transaction of a use case: commits at the end, rolls back on any exception."""
    with engine.begin() as tx:
        yield tx


def limit_statements(tx: Tx, milliseconds: int) -> None:
    """From here to its end let no statement of ``tx`` take longer, or wait longer for a lock: for what
    somebody waits for who can do without."""
    tx.execute(_LIMIT, {"limit": str(milliseconds)})


_LIMIT: Final = text(
    "SELECT set_config('statement_timeout', :limit, true), set_config('lock_timeout', :limit, true)"
)


@contextmanager
def planned_for_values(tx: Tx) -> Iterator[None]:
    """Have statements of ``tx`` planned for their values each time, and not compiled: for the few over large
    sets, where the better road depends on how much they ask for.

    They are not prepared, so that PostgreSQL has no plan to keep. ``plan_cache_mode`` would reach what runs
    inside them too: foreign keys would be planned anew for every row.
    """
    tx.execute(_NOT_COMPILED)
    driver: psycopg.Connection[Any] = tx.connection.driver_connection  # type: ignore[assignment]
    before = driver.prepare_threshold
    driver.prepare_threshold = None
    try:
        yield
    finally:
        driver.prepare_threshold = before


_NOT_COMPILED: Final = text("SET LOCAL jit = off")


@contextmanager
def trial(engine: Engine) -> Iterator[Tx]:
    """Open a transaction of which nothing stays: to see whether something can be done."""
    with engine.connect() as tx:  # closing it rolls back
        yield tx


@contextmanager
def snapshot(engine: Engine) -> Iterator[Tx]:
    """A read-only transaction in which every statement sees the same moment: for checks across tables."""
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            yield connection


def next_ids(tx: Tx, table: str, count: int) -> list[int]:
    """Reserve ``count`` ids of ``table``'s identity, ascending, so that rows can be linked before COPY."""
    if count == 0:
        return []
    ids: list[int] = tx.execute(_NEXT_IDS, {"table": table, "count": count}).scalar_one()
    return ids


_NEXT_IDS: Final = text(
    """
    WITH s AS MATERIALIZED (SELECT CAST(pg_get_serial_sequence(:table, 'id') AS regclass) AS name)
    SELECT array(SELECT nextval(s.name) FROM generate_series(1, :count)) FROM s
    """
)


def copy_rows(tx: Tx, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write many rows by COPY inside ``tx``: the cheapest way to add more than a handful."""
    iterator = iter(rows)
    first = next(iterator, None)
    if first is None:
        return
    with _copying(tx, table, columns, "FROM STDIN") as copy:
        copy.write_row(first)
        for row in iterator:
            copy.write_row(row)


def copy_columns(
    tx: Tx, table: Table, columns: Sequence[str], values: Sequence[Sequence[Any]]
) -> None:
    """The same for the hot road, from the values of each column (see ``domain.bulk``).

    JSON is given as text; times are aware.
    """
    if values and values[0]:
        block = copy_block([table.columns[name].type for name in columns], values)
        with _copying(tx, table.name, columns, "FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(block)


@contextmanager
def _copying(
    tx: Tx, table: str, columns: Sequence[str], how: LiteralString
) -> Iterator["psycopg.Copy"]:
    driver: psycopg.Connection[Any] = tx.connection.driver_connection  # type: ignore[assignment]
    names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, columns))
    statement = psycopg.sql.SQL("COPY {} ({}) " + how).format(psycopg.sql.Identifier(table), names)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            yield copy
    except _USELESS as error:  # the engine's hook sees only what goes through SQLAlchemy
        tx.invalidate(error)
        raise


def advisory_lock(tx: Tx, keys: Iterable[int], *, shared: bool = False) -> None:
    """Take transaction-scoped advisory locks on 64-bit ``keys``, ascending so that nobody deadlocks."""
    ordered = sorted(set(keys))
    if ordered:
        tx.execute(_LOCK_SHARED if shared else _LOCK, {"keys": ordered})


def correlation_key(merchant_id: int, correlation: str) -> int:
    """The 64-bit advisory lock of what ties some events of a merchant together, as a transaction."""
    digest = blake2b(f"{merchant_id}/{correlation}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


_LOCK: Final = text(
    "SELECT count(pg_advisory_xact_lock(key)) FROM unnest(CAST(:keys AS bigint[])) AS key"
)
_LOCK_SHARED: Final = text(
    "SELECT count(pg_advisory_xact_lock_shared(key)) FROM unnest(CAST(:keys AS bigint[])) AS key"
)
