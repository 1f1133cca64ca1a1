"""`payspool payouts breakers` and `close-breaker`, and the new key that closes one."""

import json
from collections.abc import Callable

from click.testing import Result
from sqlalchemy import Engine

from domain.db import transaction
from domain.payouts.rules.breaker import Trip
from domain.payouts.service import breakers
from tests.domain.payouts import house
from tests.workers.gateways.local_stripe import Platform

Command = Callable[..., Result]


def test_an_open_breaker_is_shown_with_its_reason_and_closed_by_hand(
    command: Command, engine: Engine
) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        breakers.open_breaker(tx, acme, "stripe", Trip("5 calls in a row failed"))
    [row] = json.loads(command("payouts", "breakers", "--json").output)
    assert (row["merchant"], row["method"], row["reason"], row["waiting"]) == (
        "acme",
        "stripe",
        "5 calls in a row failed",
        0,
    )
    [stop] = json.loads(command("payouts", "stops", "--json").output)
    assert stop["kind"] == "breaker"
    closed = command("payouts", "close-breaker", "acme", "--method", "stripe")
    assert closed.exit_code == 0, closed.output
    assert json.loads(command("payouts", "breakers", "--json").output) == []
    assert command("payouts", "close-breaker", "acme").exit_code != 0


def test_a_new_stripe_key_closes_the_breaker_that_the_old_one_opened(
    command: Command, engine: Engine, platform: Platform
) -> None:
    added = command("merchants", "add", "acme", "--stripe-key", "-", input=platform.key)
    assert added.exit_code == 0, added.output
    with transaction(engine) as tx:
        acme = house.scalar(engine, "SELECT id FROM merchants")
        breakers.open_breaker(
            tx, acme, "stripe", Trip("the gateway refuses the key", key_refused=True)
        )
    given = command("merchants", "stripe-key", "acme", input=platform.key)
    assert given.exit_code == 0, given.output
    assert "sent again" in given.output
    assert json.loads(command("payouts", "breakers", "--json").output) == []
