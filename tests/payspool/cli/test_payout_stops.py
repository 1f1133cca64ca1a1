"""`payspool payouts stop`, `resume` and `stops`."""

import json
from collections.abc import Callable

from click.testing import Result
from sqlalchemy import Engine

from domain.db import transaction
from tests.domain.payouts import house

Command = Callable[..., Result]


def test_payouts_are_stopped_shown_with_who_and_why_and_resumed(
    command: Command, engine: Engine
) -> None:
    with transaction(engine) as tx:
        house.merchant(tx)
    stopped = command(
        "payouts", "stop", "acme", "--method", "stripe", "--reason", "[wrong] amounts"
    )
    assert stopped.exit_code == 0, stopped.output
    [row] = json.loads(command("payouts", "stops", "--json").output)
    assert (row["kind"], row["merchant"], row["method"], row["reason"]) == (
        "kill_switch",
        "acme",
        "stripe",
        "[wrong] amounts",
    )
    assert command("payouts", "resume").exit_code != 0, "nothing stops all of them"
    assert command("payouts", "resume", "acme", "--method", "stripe").exit_code == 0
    assert json.loads(command("payouts", "stops", "--json").output) == []


def test_a_stop_without_a_reason_is_refused(command: Command) -> None:
    assert command("payouts", "stop").exit_code != 0
    assert command("payouts", "stop", "--reason", " ").exit_code != 0
    assert json.loads(command("payouts", "stops", "--json").output) == []
