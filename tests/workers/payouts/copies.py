"""Copies of a test's database, as a backup is, and as a server that was failed over to."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, make_url, pool, text

from domain.db import connect, transaction


@contextmanager
def copied(engine: Engine, admin_url: str) -> Iterator[Engine]:
    """The database as it is now, under another name; ``engine`` may be used on."""
    original = engine.url.database
    name = f"copy_{secrets.token_hex(6)}"
    server = create_engine(admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    engine.dispose()  # a template has no other connections
    with server.connect() as connection:
        connection.execute(
            text(f'CREATE DATABASE "{name}" OWNER payspool_owner TEMPLATE "{original}"')
        )
    url = make_url(admin_url).set(database=name, username="payspool_runtime")
    made = connect(url.render_as_string(hide_password=False), pool_size=10)
    try:
        yield made
    finally:
        made.dispose()
        with server.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


def in_place_of_its_original(copy: Engine) -> str:
    """As if the copy were the original's own disk, put back: nothing of where it is gives it away."""
    with transaction(copy) as tx:
        tx.execute(text("UPDATE payout_watermark SET server = payout_server()"))
        server: str = tx.execute(text("SELECT payout_server()")).scalar_one()
    return server


def on_another_timeline(copy: Engine) -> None:
    """As if the copy's server had been failed over: its timeline is another one from now on."""
    owner = create_engine(copy.url.set(username="payspool_owner"), poolclass=pool.NullPool)
    with owner.begin() as connection:
        connection.execute(text("ALTER FUNCTION payout_server() RENAME TO payout_server_before"))
        connection.execute(
            text(
                "CREATE FUNCTION payout_server() RETURNS text LANGUAGE sql STABLE AS"
                " $$ SELECT replace(payout_server_before(), '/1/', '/2/') $$"
            )
        )
