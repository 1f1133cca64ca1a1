"""What the books say of a card, in short."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.loyalty import service
from domain.loyalty.rules import Refusal
from domain.loyalty.service import Waits


def told(outcomes: list[Any]) -> list[Any]:
    """What became of each event: its points, or why there are none."""
    return [
        o.reason if isinstance(o, Refusal) else "waits" if isinstance(o, Waits) else o.points
        for o in outcomes
    ]


def state(tx: Tx, number: str = "C1") -> tuple[int, int, list[int]]:
    """Balance, debt, and what is left in each lot."""
    row = tx.execute(
        text("SELECT id, points_balance, points_debt FROM cards WHERE number = :n"), {"n": number}
    ).one()
    lots = tx.execute(
        text("SELECT remaining FROM point_lots WHERE card_id = :id ORDER BY id"), {"id": row.id}
    ).scalars()
    assert service.check_invariants(tx) == []
    return row.points_balance, row.points_debt, list(lots)
