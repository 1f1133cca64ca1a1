"""The ledger keeps money whole."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from domain.db import Tx
from domain.ledger import service
from domain.ledger.rules import Transfer, payable, rewards_expense

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def merchant(tx: Tx) -> int:
    return tx.execute(
        text("INSERT INTO merchants (key, name, mode) VALUES ('acme', 'Acme', 'test') RETURNING id")
    ).scalar_one()


def reward(merchant: int, amount: int, source_id: int = 1) -> Transfer:
    return Transfer(
        debit=rewards_expense(merchant, "usd"),
        credit=payable(merchant, "ada", "usd"),
        amount=amount,
        kind="reward",
        source_kind="tracking",
        source_id=source_id,
        occurred_at=NOON,
    )


def test_a_posted_transfer_moves_the_kept_balance(tx: Tx, merchant: int) -> None:
    service.post(tx, [reward(merchant, 1_000, 1), reward(merchant, 234, 2)])
    balance = tx.execute(text("SELECT balance FROM ledger_accounts WHERE owner = 'ada'")).scalar()
    assert balance == 1_234
    assert service.check_invariants(tx) == []


def test_the_same_movement_is_booked_once(tx: Tx, merchant: int) -> None:
    service.post(tx, [reward(merchant, 1_000)])
    with pytest.raises(IntegrityError, match="uq_ledger_transfers"):
        service.post(tx, [reward(merchant, 1_000)])


def test_a_transfer_cannot_be_changed(tx: Tx, merchant: int) -> None:
    service.post(tx, [reward(merchant, 1_000)])
    with pytest.raises(IntegrityError, match="append-only"):
        tx.execute(text("UPDATE ledger_transfers SET amount = 1"))


def test_the_runtime_role_cannot_truncate_or_drop_the_guard(tx: Tx) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), tx.begin_nested():
        tx.execute(text("TRUNCATE ledger_transfers"))
    with pytest.raises(ProgrammingError, match="must be owner"):
        tx.execute(text("ALTER TABLE ledger_transfers DISABLE TRIGGER ALL"))


def test_a_kept_balance_that_drifts_is_found(tx: Tx, merchant: int) -> None:
    service.post(tx, [reward(merchant, 1_000)])
    tx.execute(text("UPDATE ledger_accounts SET balance = 999 WHERE owner = 'ada'"))
    assert len(service.check_invariants(tx)) == 1
