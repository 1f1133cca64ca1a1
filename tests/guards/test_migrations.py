"""Migrations and models describe the same database, column for column and constraint for constraint."""

import secrets

import pytest
from sqlalchemy import Connection, create_engine, make_url, pool, text

from domain.tables import metadata

CATALOGS = {
    "columns": """
        SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default,
               is_identity, identity_generation, udt_name
        FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        -- Deferred triggers are listed there too; as all triggers they are said by the migrations alone.
        WHERE connamespace = 'public'::regnamespace AND contype <> 't'
    """,
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}


def catalog(connection: Connection, query: str) -> set[tuple[object, ...]]:
    rows = connection.execute(text(query))
    return {tuple(row) for row in rows if row[0] != "alembic_version"}


@pytest.fixture
def from_models(admin_url: str):  # type: ignore[no-untyped-def]
    name = f"models_{secrets.token_hex(4)}"
    server = create_engine(admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    with create_engine(
        make_url(admin_url).set(database=name), poolclass=pool.NullPool
    ).connect() as made:
        metadata.create_all(made)
        yield made
        made.rollback()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.mark.parametrize("what", CATALOGS)
def test_the_migrations_make_what_the_models_say(
    what: str,
    from_models: Connection,
    shared_engine,  # type: ignore[no-untyped-def]
) -> None:
    with shared_engine.connect() as migrated:
        made = catalog(migrated, CATALOGS[what])
    said = catalog(from_models, CATALOGS[what])
    assert made - said == set(), "the migrations make something that no model says"
    assert said - made == set(), "a model says something that no migration makes"
