"""Bring a database to the newest revision, from code (the command line, the demo, the tests)."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool, text

MIGRATION_LOCK: Final = 0x7061_7973_706F_6F6C
"""Advisory lock that lets one of several starting processes migrate and the others wait ("payspool")."""


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration without an ini file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    if connection is not None:
        made.attributes["connection"] = connection
    return made


def upgrade(owner_url: str) -> str:
    """Migrate the database at ``owner_url`` to the newest revision; returns that revision."""
    engine = create_engine(owner_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()
        command.upgrade(config(connection), "head")
        connection.commit()
        return current(connection) or ""


def current(connection: Connection) -> str | None:
    """The revision of a database, None before its first migration."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The newest revision in this checkout."""
    return ScriptDirectory.from_config(config()).get_current_head() or ""
