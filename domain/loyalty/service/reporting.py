"""Reports on what was issued, redeemed, voided and expired; and what is owed and what it is worth."""

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from sqlalchemy.exc import DBAPIError

from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.loyalty.rules.reporting import MAX_ROWS, Wanted, rate_of, value_of
from domain.loyalty.service.reports import summary
from domain.loyalty.store import programs as program_store
from domain.loyalty.store import reporting as store
from domain.loyalty.store import views

DEFAULT_ZONE: Final = "UTC"


@dataclass(frozen=True, slots=True)
class Owed:
    """What a program owes now: points that are outstanding (its liability), with their value in minor units
    of ``currency`` at the program's present cost; None where it names no cost. ``breakage`` are points that
    expired, ``breakage_rate`` their share of all that was issued, in basis points."""

    program: str
    name: str
    currency: str
    cost_per_1000_points: int | None
    outstanding: int
    outstanding_value: int | None
    breakage: int
    breakage_value: int | None
    breakage_rate: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """Rows (mappings of ``columns``), and what each program owes now."""

    wanted: Wanted
    columns: list[str]
    rows: list[dict[str, Any]]
    owed: list[Owed]


def zone_of(tx: Tx, merchant_id: int, program: str | None) -> str:
    """The zone that a report's days are of where none is named: the program's, or that of all of them, or
    UTC where they differ."""
    programs = program_store.of_merchants(tx, [merchant_id])
    zones = {one.zone for one in programs if program in (None, one.key)}
    return zones.pop() if len(zones) == 1 else DEFAULT_ZONE


def zone_of_card(tx: Tx, merchant_id: int, number: str) -> str:
    """The zone of a card's program. Raises NotFound."""
    found = views.zone(tx, merchant_id, number)
    if found is None:
        raise NotFound("card", number)
    return found


def report(tx: Tx, merchant_id: int, wanted: Wanted) -> Report:
    """Sum a merchant's history. Raises NotFound for a program that is not there, and Invalid for a report of
    more than MAX_ROWS rows."""
    owed = owed_now(tx, merchant_id)
    if wanted.program is not None:
        owed = [one for one in owed if one.program == wanted.program]
        if not owed:
            raise NotFound("loyalty program", wanted.program)
    try:
        rows = store.report(tx, merchant_id, wanted, MAX_ROWS + 1)
    except DBAPIError as error:
        if isinstance(
            error.orig, psycopg.errors.InvalidParameterValue
        ):  # a zone of this machine alone
            raise Invalid("zone", f"the database does not know {wanted.zone!r}") from error
        raise
    if len(rows) > MAX_ROWS:
        raise Invalid(
            "by", f"gives over {MAX_ROWS:,} rows; choose fewer columns, longer periods or less time"
        )
    return Report(wanted, store.columns(wanted), [dict(row._mapping) for row in rows], owed)


def owed_now(tx: Tx, merchant_id: int) -> list[Owed]:
    """What each program of a merchant owes, from the ledger."""
    programs = {one.key: one for one in program_store.of_merchants(tx, [merchant_id])}
    told = []
    for one in summary(tx, merchant_id):
        program = programs[one.program]
        cost = program.cost_per_1000_points
        told.append(
            Owed(
                one.program,
                one.name,
                program.currency,
                cost,
                one.outstanding,
                value_of(one.outstanding, cost_per_1000_points=cost),
                one.expired,
                value_of(one.expired, cost_per_1000_points=cost),
                rate_of(one.expired, one.issued),
            )
        )
    return told
