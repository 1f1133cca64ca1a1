"""`payspool payouts look-for-returns` finds what came back, and is scheduled with the merchant's Wise account."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from domain.payouts.errors import NoReturns
from tests.domain.payouts.house import rows
from tests.payspool.cli.conftest import Command
from tests.workers.gateways.local_stripe import LocalStripe
from tests.workers.gateways.local_wise import WiseAccount

TIMING = "SELECT every_seconds, args -> 'days' FROM schedules WHERE name = 'payouts.returns/acme'"
LIST = {"method": "GET", "path": "/wise/v1/transfers"}


@pytest.fixture
def wise(local_stripe: LocalStripe) -> Iterator[WiseAccount]:
    made = WiseAccount(local_stripe)
    yield made
    made.close()


def test_it_is_scheduled_hourly_and_what_an_operator_chose_outlives_a_new_token(
    command: Command, engine: Engine, wise: WiseAccount
) -> None:
    command("merchants", "add", "acme")
    token = ("merchants", "wise", "acme", "--token", "-")
    assert command(*token, input=wise.token).exit_code == 0
    assert rows(engine, TIMING) == [(3_600, 45)]
    said = command("payouts", "look-for-returns", "acme", "--every-minutes", "30", "--days", "60")
    assert said.exit_code == 0, said.output
    assert rows(engine, TIMING) == [(1_800, 60)]
    assert command(*token, input=wise.token).exit_code == 0
    assert rows(engine, TIMING) == [(1_800, 60)]


def test_by_hand_it_says_what_it_read_and_fails_where_wise_does_not_answer(
    command: Command, wise: WiseAccount
) -> None:
    command("merchants", "add", "acme")
    command("merchants", "wise", "acme", "--token", "-", input=wise.token)
    said = command("payouts", "look-for-returns", "acme", "--json")
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout) == {
        "pages": 1, "listed": 0, "asked": 0, "unfinished": False, "waits": None,
    }  # fmt: skip
    assert command("payouts", "look-for-returns", "acme", "--days", "366").exit_code != 0
    wise.plan({**LIST, "fault": "error_500_not_done"})
    said = command("payouts", "look-for-returns", "acme")
    assert said.exit_code == 1
    assert "Wise could not be asked any more" in said.output
    assert "goes on" in said.output


def test_a_merchant_without_wise_is_told(command: Command) -> None:
    command("merchants", "add", "acme")
    said = command("payouts", "look-for-returns", "acme")
    assert said.exit_code == 1
    assert not isinstance(said.exception, NoReturns), "it has no account there"
