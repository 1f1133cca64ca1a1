"""Fixtures that all tests share: a real PostgreSQL of this run, migrated once, copied for each test."""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine, create_engine, make_url, pool, text

from domain.db import Tx, connect
from migrations import apply
from payspool.embedded import Embedded, Endpoints, scratch_data_dir


@pytest.fixture(scope="session", autouse=True)
def _loggers_follow_their_configuration() -> Iterator[None]:
    """A command that a test runs in this process configures the logs, and a logger that was used then would
    keep that configuration for good: what it says in a later test could not be captured."""
    configure = structlog.configure

    def without_cache(**options: Any) -> None:
        configure(**options | {"cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(structlog, "configure", without_cache)
        yield


@pytest.fixture(scope="session")
def servers() -> Iterator[Endpoints]:
    """Servers of this test process alone. Without fsync: durability has tests with servers of its own."""
    data_dir = scratch_data_dir(_memory_disk())
    try:
        with Embedded(data_dir / "data", durable=False, valkey_maxmemory=2**28) as embedded:
            yield embedded.endpoints
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def _memory_disk() -> Path | None:
    """Where making and dropping databases is fast, if there is room: each test may have its own."""
    disk = Path("/dev/shm")
    roomy = disk.is_dir() and shutil.disk_usage(disk).free > 2 * 2**30
    return disk if roomy and os.access(disk, os.W_OK) else None


@pytest.fixture(scope="session")
def admin_url(request: pytest.FixtureRequest) -> str:
    """Superuser URL of the run's PostgreSQL: the box's, or that of PAYSPOOL_TEST_ADMIN_URL."""
    given = os.environ.get("PAYSPOOL_TEST_ADMIN_URL")
    return given or str(request.getfixturevalue("servers").admin_url)


@pytest.fixture
def redis_url(servers: Endpoints) -> str:
    """The run's Valkey. Tests share it: each takes a namespace of its own (see ``namespace``)."""
    return servers.redis_url


@pytest.fixture
def namespace() -> str:
    """A prefix for Redis keys that no other test has."""
    return f"test-{secrets.token_hex(4)}"


def _database(admin_url: str, name: str, template: str | None = None) -> str:
    engine = create_engine(admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # Copied file by file, not through the write-ahead log: half the time, and nothing here outlives a crash.
        clause = f'TEMPLATE "{template}" STRATEGY file_copy' if template else ""
        connection.execute(text(f'CREATE DATABASE "{name}" OWNER payspool_owner {clause}'))
    return make_url(admin_url).set(database=name).render_as_string(hide_password=False)


def _drop(admin_url: str, name: str) -> None:
    engine = create_engine(admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


def _as(url: str, user: str) -> str:
    return make_url(url).set(username=user).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def template(admin_url: str) -> Iterator[str]:
    """Name of a migrated, empty database that others are copied from."""
    name = f"template_{secrets.token_hex(4)}"
    url = _database(admin_url, name)
    with create_engine(url, poolclass=pool.NullPool).begin() as connection:
        connection.execute(text("ALTER SCHEMA public OWNER TO payspool_owner"))
    apply.upgrade(_as(url, "payspool_owner"))
    yield name
    _drop(admin_url, name)


@pytest.fixture(scope="session")
def shared_engine(admin_url: str, template: str) -> Iterator[Engine]:
    """Engine on a database that tests share: for those that roll back (see ``tx``)."""
    name = f"shared_{secrets.token_hex(4)}"
    engine = connect(_as(_database(admin_url, name, template), "payspool_runtime"))
    yield engine
    engine.dispose()
    _drop(admin_url, name)


@pytest.fixture
def tx(shared_engine: Engine) -> Iterator[Tx]:
    """One transaction as the runtime role, rolled back at the end of the test."""
    with shared_engine.connect() as connection:
        outer = connection.begin()
        yield connection
        outer.rollback()


@pytest.fixture
def database_url(admin_url: str, template: str) -> Iterator[str]:
    """A database of the test's own, as the runtime role: for tests that commit or use many connections."""
    name = f"test_{secrets.token_hex(6)}"
    yield _as(_database(admin_url, name, template), "payspool_runtime")
    _drop(admin_url, name)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Engine on a database of the test's own."""
    made = connect(database_url, pool_size=10)
    yield made
    made.dispose()


@pytest.fixture
def owner(engine: Engine) -> Iterator[Engine]:
    """The test's database as the role that owns it, for what no part of the running system may do: make
    rows older, take a trigger away."""
    url = make_url(engine.url).set(username="payspool_owner")
    made = connect(url.render_as_string(hide_password=False))
    yield made
    made.dispose()
