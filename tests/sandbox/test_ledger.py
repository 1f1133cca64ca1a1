"""Moving money: both sides or neither, never below zero, pending until its day."""

import pytest

from sandbox import ledger
from sandbox.books import Books
from sandbox.errors import BooksViolated
from sandbox.store import Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    yield made
    made.close()


def side(account, type="transfer", source="tr_1"):
    return ledger.Side(account, type, source)


def fund(store, account, amount, available_on=None, now=100):
    return ledger.move(
        store,
        debit="bank",
        credit=side(account, "topup", "tu_1"),
        amount=amount,
        currency="usd",
        kind="topup",
        source="tu_1",
        now=now,
        available_on=available_on,
    )


def pay(store, amount):
    return ledger.move(
        store,
        debit=side("acct_a"),
        credit=side("acct_b", "payment", "py_1"),
        amount=amount,
        currency="usd",
        kind="drain",
        source="x",
        now=100,
    )


def balances(store):
    rows = store.all("SELECT ledger, amount FROM balances WHERE amount <> 0 ORDER BY ledger")
    return {row["ledger"]: row["amount"] for row in rows}


def test_a_movement_credits_what_it_debits(store, tmp_path):
    assert len(fund(store, "acct_a", 500)) == 1
    assert len(pay(store, 200)) == 2
    assert balances(store) == {
        "acct_a:available": 300,
        "acct_b:available": 200,
        "world:bank": -500,
    }
    assert ledger.available(store, "acct_a", "usd") == 300
    assert ledger.available(store, "acct_a", "eur") == 0
    with Books(tmp_path) as books:
        assert books.check() == []


def test_a_balance_is_never_overdrawn_whoever_forgot_to_ask(store):
    fund(store, "acct_a", 500)
    with pytest.raises(BooksViolated), store.transaction():
        pay(store, 501)
    assert balances(store) == {"acct_a:available": 500, "world:bank": -500}
    assert len(store.all("SELECT * FROM postings")) == 1


def test_pending_funds_are_not_available_until_their_day(store, tmp_path):
    fund(store, "acct_a", 500, available_on=300)
    assert ledger.available(store, "acct_a", "usd") == 0
    with pytest.raises(BooksViolated), store.transaction():
        pay(store, 1)
    assert not ledger.matured(store, 299)
    assert ledger.settle(store, 299) == []
    assert ledger.matured(store, 300)
    assert ledger.settle(store, 300) == ["acct_a"]
    assert not ledger.matured(store, 300)
    assert ledger.settle(store, 300) == []
    assert ledger.available(store, "acct_a", "usd") == 500
    with Books(tmp_path) as books:
        assert books.check() == []


def test_a_transaction_is_all_or_nothing(store):
    def fund_and_fail():
        with store.transaction():
            fund(store, "acct_a", 500)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fund_and_fail()
    assert balances(store) == {}
    assert store.all("SELECT * FROM postings") == []
