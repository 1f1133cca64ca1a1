"""What a program has issued, redeemed, expired and still owes; and whether the books agree."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from domain.db import Tx
from domain.ledger import rollup_store, rollups
from domain.ledger import service as ledger
from domain.ledger import store as ledger_store
from domain.loyalty.store import reports as store

SOURCE: Final = "cards"
VIOLATIONS_SHOWN: Final = 20
"""How many examples of one broken invariant are listed."""


@dataclass(frozen=True, slots=True)
class ProgramSummary:
    """Points of a program: issued = redeemed + expired + outstanding."""

    program: str
    name: str
    status: str
    cards: int
    issued: int
    redeemed: int
    expired: int
    outstanding: int


def summary(tx: Tx, merchant_id: int) -> list[ProgramSummary]:
    """Points of each program of a merchant, from the ledger."""
    balances = {
        (row.currency.removeprefix("points:"), row.kind): int(row.balance)
        for row in ledger.sums(tx, merchant_id)
        if row.currency.startswith("points:")
    }
    return [
        ProgramSummary(
            program=row.key,
            name=row.name,
            status=row.status,
            cards=row.cards,
            issued=-balances.get((row.key, "points_issued"), 0),
            redeemed=balances.get((row.key, "points_redeemed"), 0),
            expired=balances.get((row.key, "points_breakage"), 0),
            outstanding=balances.get((row.key, "points_liability"), 0),
        )
        for row in store.program_cards(tx, merchant_id, rollup_store.mark(tx, SOURCE))
    ]


def roll_up_cards(engine: Engine, *, wait: float = rollups.WAIT_SECONDS) -> int:
    """Count cards that are settled, so that pages need not; returns how many ids the mark moved."""
    return rollups.roll_up(engine, SOURCE, store.add_cards, wait=wait)


def check_invariants(tx: Tx) -> list[str]:
    """Sentences, one for each broken invariant; empty when all hold.

    For every card, balance = points left in its lots − debt = sum of its history = its last row; lots lack
    what was allocated from them; for every program, the balances of its cards are the ledger's liability.
    """
    balances = _points_balances(tx)
    liabilities = {
        (row.merchant_id, row.key): balances.get((row.merchant_id, row.key, "points_liability"), 0)
        for row in store.outstanding(tx, None)
    }
    return [
        *(
            f"card {r.id} ({r.number}) holds {r.points_balance} points and owes {r.points_debt}; its lots hold"
            f" {r.lots}, its {r.rows} rows give {r.history}, the last one says {r.last} (row {r.last_seq})"
            for r in store.drifted_cards(tx, VIOLATIONS_SHOWN)
        ),
        *(
            f"lot {r.id} has {r.remaining} of {r.points} points left, but {r.allocated} were taken from it"
            for r in store.drifted_lots(tx, VIOLATIONS_SHOWN)
        ),
        *(
            f"{r.type} {r.id} moved {r.points_delta} points, its allocations {r.allocated}"
            for r in store.drifted_debits(tx, VIOLATIONS_SHOWN)
        ),
        *(
            f"debt {r.transaction_id} has {r.remaining} of {r.points} points left, {r.repaid} were repaid"
            for r in store.drifted_debts(tx, VIOLATIONS_SHOWN)
        ),
        *(
            f"lot {r.id} holds {r.held} points, its open holds reserve {r.reserved}"
            for r in store.drifted_holds(tx, VIOLATIONS_SHOWN)
        ),
        *(
            f"card {r.id} ({r.number}) expires at {r.inactivity_deadline}, its timer says {r.expire_check_on}"
            for r in store.late_timers(tx, VIOLATIONS_SHOWN)
        ),
        *(
            f"program {r.key} of merchant {r.merchant_id}: its cards hold {r.points} points, the ledger"
            f" owes {liabilities[r.merchant_id, r.key]}"
            for r in store.outstanding(tx, None)
            if r.points != liabilities[r.merchant_id, r.key]
        ),
    ]


def _points_balances(tx: Tx) -> dict[tuple[int, str, str], int]:
    """Ledger balances of points accounts of all merchants, by merchant, program key and kind."""
    return {
        (row.merchant_id, row.currency.removeprefix("points:"), row.kind): int(row.balance)
        for row in ledger_store.balances(tx)
        if row.currency.startswith("points:")
    }
