"""The database edge: which connections are kept, and which plans."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain.db import Tx, connect, copy_rows, planned_for_values, transaction

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


@pytest.mark.parametrize("fails", [False, True], ids=["well", "failing"])
def test_statements_are_planned_anew_inside_and_kept_again_afterwards(
    engine: Engine, fails: bool
) -> None:
    own = connect(engine.url.render_as_string(hide_password=False), pool_size=1)
    try:
        with transaction(own) as tx:
            with suppress(LookupError), planned_for_values(tx):
                assert prepared_of(tx, times=10) == 0
                assert tx.execute(text("SHOW jit")).scalar_one() == "off"
                # What runs inside a statement, as foreign keys do, keeps its plans.
                assert tx.execute(text("SHOW plan_cache_mode")).scalar_one() == "auto"
                if fails:
                    raise LookupError
            assert prepared_of(tx, times=10) == 1
    finally:
        own.dispose()


def prepared_of(tx: Tx, *, times: int) -> int:
    """Of one statement that runs so often, how many are prepared."""
    for number in range(times):
        tx.execute(text("SELECT CAST(:n AS int) /* of this test */"), {"n": number})
    count: int = tx.execute(
        text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%/* of this %'")
    ).scalar_one()
    return count
