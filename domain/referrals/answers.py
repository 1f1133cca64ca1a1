"""Use cases of people who ask: what a program did, what a user's referrals came to, and why an amount."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from domain.db import Tx
from domain.errors import NotFound
from domain.referrals import admin, answers_store
from domain.referrals.rules.explaining import explain


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a program did, in all and day by day (rows of DAY_COLUMNS, amounts in minor units)."""

    program: str
    currency: str
    total: dict[str, int]
    days: list[Any]


@dataclass(frozen=True, slots=True)
class Explained:
    """A tracking, and all that made its amounts: terms, reversals, holds, earnings; and it in sentences."""

    tracking: Any
    terms: Any
    reversals: list[Any]
    holds: list[Any]
    earnings: list[Any]
    why: list[str]


def statistics(
    tx: Tx, merchant_id: int, program: str, *, since: date | None = None, until: date | None = None
) -> Statistics:
    """What a program did from ``since`` to before ``until`` (days of UTC). Raises NotFound.

    It reads a few rows a day, however many trackings there are.
    """
    found = admin.found_program(tx, merchant_id, program)
    rows = answers_store.days(tx, found.id, since, until)
    total = {name: sum(getattr(row, name) for row in rows) for name in answers_store.DAY_COLUMNS}
    return Statistics(found.key, found.currency, total, rows)


def history(
    tx: Tx, merchant_id: int, user_id: str, *, before: int | None = None, limit: int
) -> list[Any]:
    """The conversions that a user is credited with, newest first, below the number ``before``."""
    return answers_store.history(tx, merchant_id, user_id, before=before, limit=limit)


def tracking_of(tx: Tx, merchant_id: int, transaction_id: str) -> int:
    """The number of a transaction's tracking. Raises NotFound."""
    found = answers_store.tracking_of(tx, merchant_id, transaction_id)
    if found is None:
        raise NotFound(
            "tracking of the transaction",
            transaction_id,
            "`payspool events status` shows why a conversion was refused.",
        )
    return found


def explain_tracking(tx: Tx, merchant_id: int, tracking_id: int) -> Explained:
    """Why a tracking earned what it did, and where that is. Raises NotFound."""
    found = answers_store.tracking(tx, merchant_id, tracking_id)
    if found is None:
        raise NotFound("tracking", str(tracking_id), "`payspool earnings history` shows them.")
    terms = answers_store.version(tx, tracking_id)
    reversals = answers_store.reversals(tx, tracking_id)
    holds = answers_store.holds(tx, tracking_id)
    earnings = answers_store.earnings(tx, tracking_id)
    return Explained(
        found,
        terms,
        reversals,
        holds,
        earnings,
        explain(found, terms, reversals, holds, earnings),
    )
