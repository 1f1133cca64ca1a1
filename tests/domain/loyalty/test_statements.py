"""What a batch costs in statements: corrections, debts and limits are paid for by those that have them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from domain.db import Tx
from domain.loyalty import service

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@contextmanager
def counted(tx: Tx) -> Iterator[list[str]]:
    """Statements that go through the connection meanwhile (COPY goes past it)."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(tx, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(tx, "before_cursor_execute", note)


def cost(tx: Tx, shop: Any, events: list[Any]) -> int:
    for one in events:
        shop.claimed(tx, [one])
    with counted(tx) as seen:
        service.apply(tx, events, NOON)
    return len(seen)


@pytest.mark.parametrize("size", [1, 20])
def test_a_batch_without_corrections_runs_no_statement_for_them(
    tx: Tx, shop: Any, size: int
) -> None:
    shop.apply(tx, [shop.enrol("C1"), shop.enrol("C2"), shop.earn("C1", 100)])
    # One of them asks who stood behind the batch's events at a till.
    assert cost(tx, shop, [shop.earn("C2", 5) for _ in range(size)]) == 6
    redemptions = [shop.redeem("C1", 1) for _ in range(size)]
    assert cost(tx, shop, [shop.earn("C1", 5), *redemptions]) == 8
    enrolments = [shop.enrol(f"N{n}") for n in range(size)]
    assert cost(tx, shop, enrolments) == 8
