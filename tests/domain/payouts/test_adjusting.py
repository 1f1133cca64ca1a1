"""Adjustments are booked once, with a reason, and large ones, or many small ones, by two people."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.payouts.rules.approving import Limits
from domain.payouts.service import adjusting
from domain.payouts.service.adjusting import Adjusted
from domain.payouts.store import policies
from tests.domain.payouts.house import assert_whole, execute, merchant, payee, rows, scalar

ANN, BOB = Actor("person", "ann"), Actor("person", "bob")
OWED = "SELECT coalesce(sum(balance), 0) FROM ledger_accounts WHERE kind = 'payable'"


@pytest.fixture
def acme(engine: Engine) -> int:
    """A merchant with two payees."""
    with transaction(engine) as tx:
        made = merchant(tx)
        payee(tx, made)
        payee(tx, made, "bea", "acct_bea")
    return made


def adjust(
    engine: Engine,
    acme: int,
    amount: int,
    currency: str = "usd",
    user: str = "ada",
    by: Actor = ANN,
) -> Adjusted:
    with transaction(engine) as tx:
        return adjusting.adjust(tx, acme, user, amount, currency, "missed", by)


@pytest.mark.parametrize("amount", [500, -500, 10_000])
def test_a_small_one_is_booked_at_once(engine: Engine, acme: int, amount: int) -> None:
    assert adjust(engine, acme, amount).booked
    assert scalar(engine, OWED) == amount
    assert_whole(engine)


def test_a_large_one_waits_for_another_person_and_is_booked_once(engine: Engine, acme: int) -> None:
    made = adjust(engine, acme, -10_001)
    assert not made.booked
    with transaction(engine) as tx, pytest.raises(Forbidden):
        adjusting.agree(tx, acme, made.number, ANN)
    for state in ("agreed_by = 'ann'", "state = 'booked'"):
        with pytest.raises(IntegrityError):
            execute(engine, f"UPDATE adjustments SET {state}")
    assert scalar(engine, OWED) == 0
    with transaction(engine) as tx:
        adjusting.agree(tx, acme, made.number, BOB)
    with transaction(engine) as tx, pytest.raises(NotFound):
        adjusting.agree(tx, acme, made.number, BOB)
    assert scalar(engine, OWED) == -10_001
    assert_whole(engine)


def test_several_small_ones_of_one_person_are_a_large_one(engine: Engine, acme: int) -> None:
    """Whomever they are for, and in whichever direction: what was added and taken away counts twice."""
    assert adjust(engine, acme, 6_000).booked
    assert adjust(engine, acme, -3_000, user="bea").booked
    over = adjust(engine, acme, 1_001, user="bea")
    assert over == Adjusted(over.number, False, 9_000, 10_000)
    assert adjust(engine, acme, 1_000).booked, "what fits still does"
    assert not adjust(engine, acme, 1).booked
    assert adjust(engine, acme, 10_000, by=BOB).booked, "another person has a sum of their own"
    assert adjust(engine, acme, 10_000, "eur").booked, "and so has another currency"
    # What two people agreed on is no adjustment of one.
    with transaction(engine) as tx:
        adjusting.agree(tx, acme, over.number, BOB)
    assert adjust(engine, acme, 1).used == 10_000
    assert_whole(engine)


def test_a_week_later_one_person_adjusts_again(engine: Engine, owner: Engine, acme: int) -> None:
    assert adjust(engine, acme, 10_000).booked
    assert not adjust(engine, acme, 1).booked
    for days, booked in ((6, False), (2, True)):
        with transaction(owner) as tx:
            tx.exec_driver_sql("ALTER TABLE adjustments DISABLE TRIGGER keep_adjustment")
            tx.exec_driver_sql(
                f"UPDATE adjustments SET decided_at = decided_at - interval '{days} days'"
            )
            tx.exec_driver_sql("ALTER TABLE adjustments ENABLE TRIGGER keep_adjustment")
        assert adjust(engine, acme, 1).booked is booked


@pytest.mark.parametrize(
    ("currency", "alone"),
    [("usd", 10_000), ("jpy", 10_000), ("vnd", 10_000), ("kwd", 100_000), ("tnd", 100_000)],
)
def test_the_limit_is_of_whole_units_of_the_currency(
    engine: Engine, acme: int, currency: str, alone: int
) -> None:
    assert not adjust(engine, acme, alone + 1, currency).booked
    assert adjust(engine, acme, alone, currency).booked


def test_a_merchant_sets_its_own_limit(engine: Engine, acme: int) -> None:
    with transaction(engine) as tx:
        policies.put_limits(tx, acme, "usd", Limits(adjust_alone=50))
        policies.put_limits(tx, acme, "eur", Limits(adjust_alone=0))
    assert not adjust(engine, acme, 51).booked
    assert adjust(engine, acme, 50).booked
    assert not adjust(engine, acme, 1, "eur").booked


def test_of_many_at_once_no_more_than_the_limit_is_booked(engine: Engine, acme: int) -> None:
    def one(n: int) -> bool:
        return adjust(engine, acme, 3_000 if n % 2 else -3_000, user=("ada", "bea")[n % 2]).booked

    with ThreadPoolExecutor(8) as pool:
        booked = list(pool.map(one, range(8)))
    assert booked.count(True) == 3
    assert rows(
        engine, "SELECT state, count(*) FROM adjustments GROUP BY state ORDER BY state"
    ) == [("booked", 3), ("proposed", 5)]
    assert_whole(engine)


def test_the_database_counts_them_whatever_the_code_decides(engine: Engine, acme: int) -> None:
    assert adjust(engine, acme, 10_000).booked
    assert not adjust(engine, acme, 1).booked
    with pytest.raises(IntegrityError, match="takes a second person"):
        execute(
            engine,
            "UPDATE adjustments SET state = 'booked', decided_at = now() WHERE state = 'proposed'",
        )
    with pytest.raises(IntegrityError):
        execute(
            engine,
            "INSERT INTO adjustments (merchant_id, user_id, currency, amount, reason, adjustment_limit, proposed_by,"
            " state) SELECT merchant_id, user_id, currency, 1, reason, 1, 'ann', 'booked' FROM adjustments LIMIT 1",
        )


def test_without_a_reason_or_a_payee_nothing_is_adjusted(engine: Engine, acme: int) -> None:
    with transaction(engine) as tx:
        with pytest.raises(Invalid):
            adjusting.adjust(tx, acme, "ada", 5, "usd", " ", ANN)
        with pytest.raises(NotFound):
            adjusting.adjust(tx, acme, "nobody", 5, "usd", "why", ANN)
    assert scalar(engine, "SELECT count(*) FROM adjustments") == 0
