"""`payspool payouts policy`, `run`, `runs`, `show`, `approve` and `reject`."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from sqlalchemy import Engine

from domain.db import transaction
from tests.domain.payouts import house

Command = Callable[..., Result]


@pytest.fixture
def waiting(command: Command, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> int:
    """A run of 9.00 that ann prepared, above the limit that she set."""
    monkeypatch.setenv("USER", "ann")
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        house.payee(tx, acme)
        house.earn(tx, acme, 900)
    set_ = command("payouts", "policy", "acme", "--currency", "usd", "--auto-run", "800", "--json")
    assert json.loads(set_.output) == {
        "approval": "above_limits",
        "approval_hours": 72,
        "cooling_off_hours": 0,
        "limits": {"usd": {"auto_payout": None, "auto_run": 800}},
    }
    made = json.loads(command("payouts", "run", "acme", "--json").output)
    assert made["state"] == "pending_approval"
    run_id: int = made["run_id"]
    return run_id


def test_another_person_approves_the_run_that_was_shown(
    command: Command, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = json.loads(command("payouts", "show", "acme", str(waiting), "--json").output)
    assert (shown["prepared_by"], shown["state"]) == ("ann", "pending_approval")
    approve = ("payouts", "approve", "acme", str(waiting), "--hash", shown["hash"])
    assert command(*approve).exit_code != 0, "ann prepared it"
    monkeypatch.setenv("USER", "ben")
    assert command(*approve[:-1], "00ff").exit_code != 0, "another hash"
    assert command(*approve[:-1], "no hash").exit_code != 0
    assert command(*approve).exit_code == 0
    [run] = json.loads(command("payouts", "runs", "acme", "--json").output)
    assert (run["state"], run["approved_by"]) == ("sending", "ben")


def test_a_rejected_run_leaves_its_earnings_to_the_next(command: Command, waiting: int) -> None:
    rejected = command("payouts", "reject", "acme", str(waiting), "--reason", "paid by hand")
    assert rejected.exit_code == 0, rejected.output
    shown = json.loads(command("payouts", "show", "acme", str(waiting), "--json").output)
    assert (shown["state"], shown["reject_reason"]) == ("rejected", "paid by hand")
    [payout] = json.loads(command("payouts", "list", "acme", "--json").output)
    assert payout["status"] == "canceled"
    assert json.loads(command("payouts", "preview", "acme", "--json").output)[0]["amount"] == 900


def test_a_policy_that_cannot_be_is_refused(command: Command, waiting: int) -> None:
    for options in (
        ("--auto-run", "5"),
        ("--currency", "usd"),
        ("--currency", "u", "--auto-run", "5"),
        ("--approval", "sometimes"),
        ("--approval-hours", "0"),
    ):
        assert command("payouts", "policy", "acme", *options).exit_code != 0, options
    assert command("payouts", "show", "acme", "999").exit_code != 0
