"""A connection of its own that listens for NOTIFY."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine


@contextmanager
def listen(engine: Engine, channel: str) -> Iterator["psycopg.Connection[Any]"]:
    """Open a connection outside the pool, in autocommit, listening on ``channel``."""
    arguments, parameters = engine.dialect.create_connect_args(engine.url)
    parameters.pop("context", None)
    with psycopg.connect(
        *arguments, **parameters, autocommit=True, connect_timeout=5
    ) as connection:
        connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
        yield connection
