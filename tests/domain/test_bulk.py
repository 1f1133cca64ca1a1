"""What is sent in bulk arrives as it was: lists as parameters, and rows by binary COPY."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    text,
)
from sqlalchemy import Text as TextType
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from domain.db import Tx, copy_columns, copy_rows

CHECKOUT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "timestamptz": st.datetimes(
        datetime(1, 1, 2),  # noqa: DTZ001
        datetime(9999, 12, 30),  # noqa: DTZ001
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    ),
    "bytea": st.binary(),
    "bool": st.booleans(),
}

every = Table(
    "every_kind",
    MetaData(),
    Column("big", BigInteger),
    Column("small", Integer),
    Column("word", TextType),
    Column("at", DateTime(timezone=True)),
    Column("yes", Boolean),
    Column("raw", LargeBinary),
    Column("data", JSONB),
)
NAMES = [column.name for column in every.columns]
ROWS = st.lists(
    st.tuples(
        st.none() | KINDS["bigint"],
        st.none() | st.integers(-(2**31), 2**31 - 1),
        st.none() | KINDS["text"],
        st.none() | KINDS["timestamptz"],
        st.none() | st.booleans(),
        st.none() | st.binary(),
        st.none() | st.sampled_from(['{"a": 1}', '{"ü": [null, "\\""]}', "[]", "3"]),
    ),
    max_size=20,
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_arrives_as_it_was_sent(tx: Tx, kind: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.none() | KINDS[kind], max_size=12))
    def check(values: list[Any]) -> None:
        statement = text(f"SELECT CAST(:values AS {kind}[])")
        assert tx.execute(statement, {"values": values}).scalar_one() == values

    check()


def test_numbers_of_any_size_make_one_statement_to_the_server(tx: Tx) -> None:
    statement = text("SELECT pg_typeof(:values)::text")
    told = {
        tx.execute(statement, {"values": values}).scalar_one()
        for values in ([1], [2**20], [2**40], [1, None])
    }
    assert told == {"bigint[]"}


def test_lists_of_lists_and_of_other_kinds_still_arrive(tx: Tx) -> None:
    nested = text("SELECT CAST(:values AS int[])")
    assert tx.execute(nested, {"values": [[1, 2], [3, 4]]}).scalar_one() == [[1, 2], [3, 4]]
    spans = [timedelta(days=1), timedelta(seconds=5)]
    found = tx.execute(text("SELECT CAST(:values AS interval[])"), {"values": spans}).scalar_one()
    assert found == spans


def test_a_list_of_mixed_kinds_is_refused(tx: Tx) -> None:
    with pytest.raises(DBAPIError, match="mixed types"):
        tx.execute(text("SELECT CAST(:values AS text[])"), {"values": ["a", 1]})


def test_columns_and_rows_write_the_same(tx: Tx) -> None:
    tx.execute(
        text(
            "CREATE TEMPORARY TABLE every_kind (n serial, big bigint, small int, word text,"
            " at timestamptz, yes bool, raw bytea, data jsonb)"
        )
    )

    @settings(max_examples=60, deadline=None)
    @given(ROWS)
    def check(rows: list[tuple[Any, ...]]) -> None:
        tx.execute(text("TRUNCATE every_kind"))
        copy_rows(tx, "every_kind", NAMES, rows)
        written = tx.execute(text(f"SELECT {', '.join(NAMES)} FROM every_kind ORDER BY n")).all()
        tx.execute(text("TRUNCATE every_kind"))
        copy_columns(tx, every, NAMES, list(zip(*rows, strict=True)))
        found = tx.execute(text(f"SELECT {', '.join(NAMES)} FROM every_kind ORDER BY n")).all()
        assert found == written
        assert len(found) == len(rows)

    check()


def test_a_time_without_an_offset_is_refused_before_it_is_sent(tx: Tx) -> None:
    naive = datetime(2026, 11, 20)  # noqa: DTZ001
    with pytest.raises((TypeError, DBAPIError)):
        tx.execute(text("SELECT CAST(:at AS timestamptz[])"), {"at": [naive, NOON]})


def test_a_time_of_another_zone_is_the_same_moment(tx: Tx) -> None:
    there = NOON.astimezone(timezone(timedelta(hours=9)))
    found = tx.execute(text("SELECT CAST(:at AS timestamptz[])"), {"at": [there]}).scalar_one()
    assert found == [NOON]


def test_ingest_knows_the_tables_that_it_copies_without_anybody_importing_them_first() -> None:
    # A worker imports what it needs and nothing else: not the module that lists all tables.
    program = """
import sys
sys.path[:0] = [".", "clients/python"]
import workers.ingest
from domain.referrals.store import trackings_table
from domain.earnings.store import earnings
from domain.ledger.store import ledger_transfers
assert "domain.tables" not in sys.modules
print(len(trackings_table.columns) * len(earnings.columns) * len(ledger_transfers.columns) > 0)
"""
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.stdout.strip() == "True"
