"""Pages of payouts cost what they show, whatever they are narrowed by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, make_url, pool, text

from domain.db import transaction
from domain.payouts.store import looking
from tests.domain.payouts import house

PAYOUTS = 200_000


@pytest.fixture
def paid(engine: Engine, admin_url: str) -> Iterator[int]:
    """A merchant with many payouts by Stripe in dollars, the oldest five by hand in yen."""
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        house.payee(tx, acme)
        house.earn(tx, acme, 1)
    run_id = house.run(engine, acme, minimums={"usd": 2}).run_id
    superuser = create_engine(
        make_url(admin_url).set(database=engine.url.database),
        poolclass=pool.NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with superuser.connect() as connection:
        # Without triggers and foreign keys: only the plan over many rows is looked at.
        connection.execute(text("SET session_replication_role = replica"))
        connection.execute(
            text(
                """
                INSERT INTO payouts (id, merchant_id, run_id, payee_id, user_id, account_id, method,
                                     destination, currency, amount, members, members_hash, state)
                SELECT n, :m, :run, 1, 'u' || n % 1000, n,
                       CASE WHEN n <= 5 THEN 'manual' ELSE 'stripe' END, 'acct',
                       CASE WHEN n <= 5 THEN 'jpy' ELSE 'usd' END, 1, 1, '\\x00', 'paid'
                FROM generate_series(1, :payouts) n
                """
            ),
            {"m": acme, "run": run_id, "payouts": PAYOUTS},
        )
        connection.execute(text("ANALYZE payouts"))
    yield acme
    superuser.dispose()


def looked_at(engine: Engine, acme: int, **narrowed: Any) -> tuple[list[int], float, str]:
    """The ids of a page, and the rows that its plan looked at."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        sent.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    with transaction(engine) as tx:
        ids = [row.id for row in looking.payouts(tx, acme, limit=100, **narrowed)]
    event.remove(engine, "before_cursor_execute", note)
    [(statement, values)] = sent
    with transaction(engine) as tx:
        [(found,)] = tx.connection.driver_connection.execute(  # type: ignore[union-attr]
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values
        ).fetchall()
    nodes = list(_nodes(found[0]["Plan"]))
    indexes = " ".join(sorted({node.get("Index Name", node["Node Type"]) for node in nodes}))
    rows = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
        if "Scan" in node["Node Type"]
    )
    return ids, rows, indexes


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def test_a_page_looks_at_few_rows_whatever_it_is_narrowed_by_and_whether_anything_matches(
    engine: Engine, paid: int
) -> None:
    newest = list(range(PAYOUTS, PAYOUTS - 100, -1))
    for narrowed, expected in (
        ({"currency": "eur"}, []),
        ({"currency": "jpy"}, [5, 4, 3, 2, 1]),
        ({"currency": "usd"}, newest),
        ({"method": "wise"}, []),
        ({"method": "manual"}, [5, 4, 3, 2, 1]),
        ({"method": "stripe"}, newest),
        ({"method": "manual", "currency": "jpy"}, [5, 4, 3, 2, 1]),
        ({"method": "manual", "currency": "usd"}, []),
        ({"currency": "eur", "state": "paid"}, []),
        ({"method": "manual", "before": 4}, [3, 2, 1]),
        ({"currency": "usd", "before": 50}, list(range(49, 5, -1))),
    ):
        ids, rows, indexes = looked_at(engine, paid, **narrowed)
        assert ids == expected, narrowed
        assert rows < 1_000, (narrowed, rows, indexes)
        assert "ix_payouts_pair" in indexes, (narrowed, indexes)
        assert "Seq Scan" not in indexes, (narrowed, indexes)
