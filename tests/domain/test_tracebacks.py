"""What is logged and stored of an exception names the place and the rule, and nobody's data."""

import traceback
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.db import Tx, copy_rows
from domain.tracebacks import format_traceback

PRIVATE = "jane@private.example"
NOTES = f"first line\nDETAIL of {PRIVATE}\n  {PRIVATE} (third line)\n\nnot private"


@pytest.fixture
def table(tx: Tx) -> Tx:
    tx.execute(text("CREATE TEMPORARY TABLE people (id int CHECK (id > 0), notes text)"))
    return tx


def inserted(tx: Tx) -> None:
    tx.execute(text("INSERT INTO people VALUES (0, :notes)"), {"notes": NOTES})


def copied(tx: Tx) -> None:
    copy_rows(tx, "people", ["id", "notes"], [(0, NOTES)])


def retold(tx: Tx) -> None:
    try:
        inserted(tx)
    except DBAPIError as error:
        raise RuntimeError(f"while importing: {error}") from None


def told_in_a_group(tx: Tx) -> None:
    try:
        inserted(tx)
    except DBAPIError as error:
        raise ExceptionGroup("several", [error, ValueError("another")]) from error


def caught_on_the_way(tx: Tx) -> None:
    try:
        inserted(tx)
    except DBAPIError as error:
        error.orig = None
        raise KeyError("code") from error


@pytest.mark.parametrize(
    "fail", [inserted, copied, retold, told_in_a_group, caught_on_the_way], ids=lambda f: f.__name__
)
def test_a_row_that_the_database_quotes_is_left_out(table: Tx, fail: Callable[[Tx], None]) -> None:
    with pytest.raises(Exception, match=r"several|violates|code") as raised:
        fail(table)
    whole = "".join(traceback.format_exception(raised.value))
    assert PRIVATE in whole
    told = format_traceback(raised.value)
    assert PRIVATE not in told
    assert "third line" not in told
    assert 'violates check constraint "people_id_check"' in told
    assert f"in {fail.__name__}" in told, "where it happened"


def test_the_traceback_of_our_own_exception_is_whole() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        _ = 1 // 0
    told = format_traceback(raised.value)
    assert told == "".join(traceback.format_exception(raised.value))
