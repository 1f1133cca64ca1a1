"""`payspool payouts explain` tells people and scripts what the API tells."""

import json

from sqlalchemy import Engine

from domain.payouts.errors import NoSuchPayout
from tests.domain.payouts.house import SILENCE, begin, one_payout, record
from tests.payspool.cli.conftest import Command


def test_a_payout_of_unknown_outcome_is_explained_to_people_and_to_scripts(
    command: Command, engine: Engine
) -> None:
    payout_id = one_payout(engine, (1_000, -200))
    record(engine, begin(engine, payout_id), SILENCE)
    said = command("payouts", "explain", "acme", str(payout_id))
    assert said.exit_code == 0, said.output
    assert f"Payout {payout_id} to ada: unknown." in said.stdout
    assert "It pays 8.00 USD: the sum of 2 earnings" in said.stdout
    assert "Do not pay it by hand" in said.stdout
    told = json.loads(command("payouts", "explain", "acme", str(payout_id), "--json").stdout)
    assert [one["amount"] for one in told["members"]] == [1_000, -200]
    assert [one["state"] for one in told["attempts"]] == ["unknown"]
    assert told["why"][-1].endswith("it could be paid twice.")


def test_another_merchants_payout_is_not_there(command: Command, engine: Engine) -> None:
    payout_id = one_payout(engine)
    assert command("merchants", "add", "globex").exit_code == 0
    refused = command("payouts", "explain", "globex", str(payout_id))
    assert refused.exit_code != 0
    assert isinstance(refused.exception, NoSuchPayout)
