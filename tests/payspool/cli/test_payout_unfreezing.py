"""`payspool payouts unfreeze`."""

from collections.abc import Callable

import pytest
from click.testing import Result
from sqlalchemy import Engine

from tests.domain.payouts import house

Command = Callable[..., Result]


def test_one_person_proposes_and_another_one_agrees(
    command: Command, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = str(house.one_payout(engine))
    house.execute(engine, "UPDATE payouts SET frozen_reason = 'look'")
    monkeypatch.setenv("USER", "ann")
    assert command("payouts", "unfreeze", "acme", payout_id).exit_code != 0
    proposed = command("payouts", "unfreeze", "acme", payout_id, "--evidence", "[nothing] there")
    assert proposed.exit_code == 0, proposed.output
    assert "It is sent" in proposed.output
    assert command("payouts", "unfreeze", "acme", payout_id).exit_code != 0
    monkeypatch.setenv("USER", "bob")
    agreed = command("payouts", "unfreeze", "acme", payout_id)
    assert agreed.exit_code == 0, agreed.output
    assert house.rows(engine, "SELECT frozen_reason FROM payouts") == [(None,)]
    assert command("payouts", "unfreeze", "acme", "999").exit_code != 0
