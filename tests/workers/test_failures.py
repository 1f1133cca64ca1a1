"""What is infrastructure is tried again whole; what is a bug is isolated."""

import psycopg
import pytest
import redis
from dramatiq.errors import ConnectionClosed
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.db import Tx, connect
from domain.errors import Invalid
from workers.failures import is_infrastructure

STATES = {
    "08006": True,  # connection failure
    "25006": True,  # read-only since a failover; its connection is given up as well
    "25P03": True,  # idle in transaction
    "25P04": True,  # transaction time-out
    "40001": True,  # serialization failure
    "40P01": True,  # deadlock
    "42501": True,  # the role may not (yet)
    "42703": True,  # no such column
    "42P01": True,  # no such table
    "53100": True,  # disk full
    "53200": True,  # out of (shared) memory, as locks
    "53300": True,  # too many connections
    "55P03": True,  # lock not available
    "57014": True,  # statement time-out
    "57P01": True,  # shutting down
    "58030": True,  # input or output failed
    "0A000": False,  # not supported; an outdated plan also gives its connection up
    "22001": False,  # too long
    "22003": False,  # out of range
    "22P02": False,  # not a number
    "23502": False,  # null
    "23503": False,  # foreign key
    "23505": False,  # unique
    "23514": False,  # check
    "P0001": False,  # raised by a trigger
    "P0004": False,  # assertion
    "XX000": False,  # internal
}


@pytest.mark.parametrize(("state", "infrastructure"), STATES.items())
def test_what_the_database_says_is_infrastructure_or_a_bug(
    tx: Tx, state: str, infrastructure: bool
) -> None:
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(DBAPIError) as wrapped, tx.begin_nested():
        tx.execute(text(statement))
    if state not in ("0A000", "25006"):
        assert is_infrastructure(wrapped.value) is infrastructure
    original = wrapped.value.orig
    assert original is not None
    assert is_infrastructure(original) is infrastructure, "as COPY raises it, not wrapped"


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("away"),
        redis.TimeoutError("slow"),
        redis.ResponseError("OOM command not allowed"),
        ConnectionClosed(OSError("reset")),
        PoolTimeout(),
        MemoryError(),
        psycopg.InterfaceError("the connection is closed"),
    ],
    ids=repr,
)
def test_servers_that_are_away_and_memory_that_is_short_are_infrastructure(
    error: Exception,
) -> None:
    assert is_infrastructure(error)


@pytest.mark.parametrize(
    "error",
    [ValueError(), KeyError("x"), AssertionError(), RecursionError(), Invalid("field", "no")],
    ids=repr,
)
def test_an_exception_of_our_own_code_is_a_bug(error: Exception) -> None:
    assert not is_infrastructure(error)


def test_a_server_that_does_not_answer_is_infrastructure() -> None:
    nobody = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(DBAPIError) as raised:
        nobody.connect()
    assert is_infrastructure(raised.value)


def test_errors_that_are_logged_and_stored_do_not_hold_what_people_sent(engine: Engine) -> None:
    quiet = connect(engine.url.render_as_string(hide_password=False))
    with pytest.raises(DBAPIError) as raised, quiet.begin() as tx:
        tx.execute(text("SELECT :secret, 1 / 0"), {"secret": "ben@example.com"})
    assert "ben@example.com" not in str(raised.value)
    quiet.dispose()
