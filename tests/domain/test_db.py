"""The database edge: which connections are kept."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.db import Tx, copy_rows, transaction

WRITES: dict[str, Callable[[Tx], Any]] = {
    "statement": lambda tx: tx.execute(text("DELETE FROM outbox")),
    "copy": lambda tx: copy_rows(tx, "outbox", ["id"], [[1]]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_connection_that_turns_out_to_be_read_only_is_let_go_of(
    engine: Engine, write: Callable[[Tx], Any]
) -> None:
    with engine.connect() as tx:
        before = tx.connection.driver_connection
        tx.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises((DBAPIError, psycopg.Error), match="read-only"):
            write(tx)
    with transaction(engine) as tx:
        assert tx.connection.driver_connection is not before
