"""A destination that is new, or has changed, is paid nothing for a while."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from domain.clock import business_now
from domain.db import transaction
from domain.payouts import service
from domain.payouts.service import RunSpec
from domain.payouts.store import policies
from tests.domain.payouts import house

LATER = timedelta(hours=25)


@pytest.fixture
def acme(engine: Engine) -> int:
    """A merchant whose destinations cool off for a day, with a payee who is owed 10.00."""
    with transaction(engine) as tx:
        made = house.merchant(tx)
        policies.put(tx, made, "never", 72, 24)
        house.payee(tx, made)
        house.earn(tx, made, 1_000)
    return made


def build(engine: Engine, acme: int, after: timedelta = timedelta(0)) -> dict[str, int]:
    """Reasons of a run so long after now, which are those of its preview."""
    with transaction(engine) as tx:
        now: datetime = business_now(tx) + after
        spec = RunSpec(acme, f"run {now}", now)
        total = service.Preview()
        for line in service.preview(tx, spec):
            total.add(line)
    result = service.build_run(engine, spec)
    assert (result.created, result.reasons) == (total.created, total.reasons)
    return result.reasons


def test_a_first_payout_waits_and_is_made_after_it(engine: Engine, acme: int) -> None:
    assert build(engine, acme) == {"cooling_off": 1}
    assert build(engine, acme, LATER) == {}
    assert house.rows(engine, "SELECT amount FROM payouts") == [(1_000,)]


def test_a_changed_destination_waits_anew_whatever_time_the_change_claims(
    engine: Engine, acme: int
) -> None:
    long_ago = "UPDATE payees SET destination_since = destination_since - interval '1 month'"
    house.execute(engine, long_ago)
    with transaction(engine) as tx:
        house.payee(tx, acme, account="acct_new")
    assert build(engine, acme) == {"cooling_off": 1}


def test_the_same_destination_said_again_does_not_wait_anew(engine: Engine, acme: int) -> None:
    long_ago = "UPDATE payees SET destination_since = destination_since - interval '1 month'"
    house.execute(engine, long_ago)
    with transaction(engine) as tx:
        house.payee(tx, acme)
    assert build(engine, acme) == {}
