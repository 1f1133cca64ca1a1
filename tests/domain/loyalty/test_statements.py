"""What a batch costs in statements: corrections, debts and limits are paid for by those that have them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, make_url, pool

from domain.db import Tx, transaction
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


CARDS = 200


def test_the_sweep_goes_through_no_step_once_for_each_card_however_few_rows_the_planner_expects(
    engine: Engine, admin_url: str, open_shop: Any
) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx, inactivity_days=365)
        numbers = [f"C{n}" for n in range(CARDS)]
        shop.apply(tx, [shop.enrol(number) for number in numbers])
        shop.apply(tx, [shop.earn(number, 100) for number in numbers])
    url = make_url(admin_url).set(database=engine.url.database)
    admin = create_engine(url, poolclass=pool.NullPool)
    with transaction(admin) as tx:
        # As if there were millions: then a join of steps looks like one row.
        tx.exec_driver_sql("ALTER TABLE point_lots ALTER card_id SET (n_distinct = -0.5)")
        tx.exec_driver_sql("ANALYZE point_lots, cards")
        tx.exec_driver_sql(
            "UPDATE pg_class SET reltuples = 10000000 WHERE oid IN ('point_lots'::regclass, 'cards'::regclass)"
        )
    due = datetime(2030, 1, 1, tzinfo=UTC)
    plans: list[Any] = []
    with transaction(engine) as tx:

        def explain(_: Any, cursor: Any, statement: str, values: Any, *__: Any) -> None:
            if "INSERT INTO loyalty_transactions" in statement:
                cursor.execute("SAVEPOINT before")
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
                plans.extend(cursor.fetchone()[0])
                cursor.execute("ROLLBACK TO before")

        [part] = service.plan_expiry(tx, shop.merchant_id, due, CARDS)
        event.listen(tx, "before_cursor_execute", explain)
        done = service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, due)
    assert done.points == 100 * CARDS
    [plan] = plans
    thrown_away = [node.get("Rows Removed by Join Filter", 0) for node in nodes(plan["Plan"])]
    assert max(thrown_away) <= CARDS, thrown_away


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a plan, top first."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
