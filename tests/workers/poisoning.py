"""Rows that a database refuses on purpose, and a runtime that ingests into it."""

from __future__ import annotations

from sqlalchemy import Engine, text

from domain.db import transaction
from workers.context import Runtime


def runtime(engine: Engine) -> Runtime:
    """What ingesting needs of a Runtime: the database."""
    return Runtime(engine, None, "test", None, sandbox=True)  # type: ignore[arg-type]


def execute(engine: Engine, statement: str) -> None:
    with transaction(engine) as tx:
        tx.execute(text(statement))


def poison(owner: Engine, table: str, where: str, then: str) -> None:
    """From now on a row of ``table`` that matches ``where`` does ``then`` when it is inserted."""
    execute(
        owner,
        f"""
        CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {then}; RETURN NEW; END $$;
        CREATE TRIGGER poison BEFORE INSERT ON {table} FOR EACH ROW WHEN ({where})
        EXECUTE FUNCTION poison()
        """,
    )


def cure(owner: Engine, table: str) -> None:
    execute(owner, f"DROP TRIGGER poison ON {table}; DROP FUNCTION poison()")
