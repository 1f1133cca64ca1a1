"""Sums that pages show are those of all rows, whatever is kept of them, and whoever commits when."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from domain.db import transaction
from domain.ledger import rollup_store, rollups, service
from domain.ledger.rules import Transfer, payable, rewards_expense

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG_AGO = datetime(1999, 1, 1, tzinfo=UTC)


@pytest.fixture
def acme(engine: Engine) -> int:
    with transaction(engine) as tx:
        return tx.execute(
            text(
                "INSERT INTO merchants (key, name, mode) VALUES ('acme', 'A', 'test') RETURNING id"
            )
        ).scalar_one()


def earn(
    tx: Connection, merchant: int, amount: int, source: int, user: str = "ada", at: datetime = NOON
) -> None:
    debit, credit = rewards_expense(merchant, "usd"), payable(merchant, user, "usd")
    service.post(tx, [Transfer(debit, credit, amount, "reward", "tracking", source, at)])


def shown(engine: Engine, merchant: int) -> dict[str, tuple[int, int]]:
    with transaction(engine) as tx:
        return {one.kind: (one.accounts, one.balance) for one in service.sums(tx, merchant)}


def exact(engine: Engine, merchant: int) -> dict[str, tuple[int, int]]:
    """Counted and added up from every row."""
    with transaction(engine) as tx:
        rows = tx.execute(
            text(
                "SELECT a.kind, count(DISTINCT a.id) AS accounts, coalesce(sum(m.amount), 0)::bigint AS balance"
                " FROM ledger_accounts a LEFT JOIN (SELECT credit_account_id AS id, amount FROM ledger_transfers"
                " UNION ALL SELECT debit_account_id, -amount FROM ledger_transfers) m ON m.id = a.id"
                " WHERE a.merchant_id = :m GROUP BY 1"
            ),
            {"m": merchant},
        )
        return {row.kind: (row.accounts, row.balance) for row in rows}


def marked(engine: Engine) -> int:
    with transaction(engine) as tx:
        return rollup_store.mark(tx, "ledger_transfers")


def test_a_row_that_is_committed_late_is_counted_before_and_after(
    engine: Engine, acme: int
) -> None:
    with transaction(engine) as tx:
        earn(tx, acme, 100, 1)
    with engine.connect() as late:
        # Its id is drawn; that of the next is higher, and committed sooner.
        late.execute(text("SELECT nextval(pg_get_serial_sequence('ledger_transfers', 'id'))"))
        with transaction(engine) as tx:
            earn(tx, acme, 20, 2)
        assert rollups.roll_up_ledger(engine, wait=0)["ledger_transfers"] == 0
        assert (
            shown(engine, acme)
            == exact(engine, acme)
            == {
                "payable": (1, 120),
                "rewards_expense": (1, -120),
            }
        )
        late.execute(
            text(
                "INSERT INTO ledger_transfers (id, merchant_id, group_id, debit_account_id, credit_account_id,"
                " amount, currency, kind, source_kind, source_id, occurred_at)"
                " SELECT id - 1, merchant_id, id - 1, debit_account_id, credit_account_id, 3, currency, kind,"
                " source_kind, 77, occurred_at FROM ledger_transfers ORDER BY id DESC LIMIT 1"
            )
        )
        late.commit()
    assert shown(engine, acme)["payable"] == (1, 123)
    assert rollups.roll_up_ledger(engine)["ledger_transfers"] == 3
    assert shown(engine, acme) == exact(engine, acme)
    assert shown(engine, acme)["payable"] == (1, 123)


def test_one_that_is_rolled_back_holds_nothing_up(engine: Engine, acme: int) -> None:
    with engine.connect() as gone:
        earn(gone, acme, 5, 1)
        gone.rollback()
    with transaction(engine) as tx:
        earn(tx, acme, 20, 2)
    rollups.roll_up_ledger(engine)
    assert marked(engine) > 0
    assert shown(engine, acme) == exact(engine, acme)


def test_a_backdated_row_is_counted_like_any_other(engine: Engine, acme: int) -> None:
    with transaction(engine) as tx:
        earn(tx, acme, 100, 1)
    rollups.roll_up_ledger(engine)
    with transaction(engine) as tx:
        earn(tx, acme, 7, 2, at=LONG_AGO)
    assert shown(engine, acme)["payable"] == (1, 107)
    rollups.roll_up_ledger(engine)
    assert shown(engine, acme) == exact(engine, acme)


@pytest.mark.parametrize("seed", range(3))
def test_in_any_order_of_commits_and_turns_the_sums_are_those_of_all_rows(
    engine: Engine, acme: int, seed: int
) -> None:
    drawn = random.Random(seed)
    with transaction(engine) as tx:
        for who in range(4):  # whoever makes an account has others wait for it
            earn(tx, acme, 1, 1_000 + who, user=f"u{who}")
    with ExitStack() as stack:
        open_: dict[int, Connection] = {}
        for step in range(40):
            who = drawn.randrange(4)
            what = drawn.choice(("earn", "earn", "commit", "back", "roll"))
            if what == "earn":
                tx = open_.setdefault(who, stack.enter_context(engine.connect()))
                earn(tx, acme, drawn.randrange(1, 99), step, user=f"u{who}")
            elif who in open_ and what != "roll":
                tx = open_.pop(who)
                tx.commit() if what == "commit" else tx.rollback()
            elif what == "roll":
                rollups.roll_up_ledger(engine, wait=0)
            assert shown(engine, acme) == exact(engine, acme), step
        for tx in open_.values():
            tx.commit()
    rollups.roll_up_ledger(engine)
    assert shown(engine, acme) == exact(engine, acme)


def test_turns_beside_one_another_add_nothing_twice(
    engine: Engine, acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "STEP", 2)
    with transaction(engine) as tx:
        for source in range(1, 12):
            earn(tx, acme, source, source)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: rollups.roll_up_ledger(engine), range(3)))
    assert shown(engine, acme) == exact(engine, acme)
    with transaction(engine) as tx:
        assert rollup_store.tail(tx, acme, accounts=10**9, transfers=marked(engine)) == []
        assert service.check_invariants(tx) == []


def test_a_sum_that_is_wrong_breaks_an_invariant_and_a_mark_never_goes_back(
    engine: Engine, acme: int
) -> None:
    with transaction(engine) as tx:
        earn(tx, acme, 100, 1)
    rollups.roll_up_ledger(engine)
    with transaction(engine) as tx:
        tx.execute(text("UPDATE ledger_rollups SET balance = balance + 1 WHERE kind = 'payable'"))
        [sentence] = service.check_invariants(tx)
    assert "is shown 101 as its payable in usd, its transfers give 100" in sentence
    with pytest.raises(IntegrityError, match="forward only"), transaction(engine) as tx:
        rollup_store.set_mark(tx, "ledger_transfers", 0)


def test_ids_are_drawn_one_by_one(engine: Engine) -> None:
    with transaction(engine) as tx:
        cached = tx.execute(
            text(
                "SELECT s.seqcache FROM unnest(CAST(:names AS text[])) AS n (name)"
                " JOIN pg_sequence s ON s.seqrelid = CAST(pg_get_serial_sequence(n.name, 'id') AS regclass)"
            ),
            {"names": list(rollup_store.SOURCES)},
        ).scalars()
        assert list(cached) == [1, 1, 1]
