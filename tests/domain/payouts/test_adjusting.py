"""Adjustments are booked once, with a reason, and large ones by two people."""

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.payouts.service import adjusting
from tests.domain.payouts.house import assert_whole, execute, merchant, payee, scalar

ANN, BOB = Actor("person", "ann"), Actor("person", "bob")
OWED = "SELECT coalesce(sum(balance), 0) FROM ledger_accounts WHERE kind = 'payable'"


@pytest.mark.parametrize("amount", [500, -500, 10_000])
def test_a_small_one_is_booked_at_once(engine: Engine, amount: int) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        assert adjusting.adjust(tx, acme, "ada", amount, "usd", "missed", ANN)[1]
    assert scalar(engine, OWED) == amount
    assert_whole(engine)


def test_a_large_one_waits_for_another_person_and_is_booked_once(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        number, booked = adjusting.adjust(tx, acme, "ada", -10_001, "usd", "mistake", ANN)
    assert not booked
    with transaction(engine) as tx, pytest.raises(Forbidden):
        adjusting.agree(tx, acme, number, ANN)
    for state in ("agreed_by = 'ann'", "state = 'booked'"):
        with pytest.raises(IntegrityError):
            execute(engine, f"UPDATE adjustments SET {state}")
    assert scalar(engine, OWED) == 0
    with transaction(engine) as tx:
        adjusting.agree(tx, acme, number, BOB)
    with transaction(engine) as tx, pytest.raises(NotFound):
        adjusting.agree(tx, acme, number, BOB)
    assert scalar(engine, OWED) == -10_001
    assert_whole(engine)


def test_without_a_reason_or_a_payee_nothing_is_adjusted(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        payee(tx, acme)
        with pytest.raises(Invalid):
            adjusting.adjust(tx, acme, "ada", 5, "usd", " ", ANN)
        with pytest.raises(NotFound):
            adjusting.adjust(tx, acme, "nobody", 5, "usd", "why", ANN)
    assert scalar(engine, "SELECT count(*) FROM adjustments") == 0
