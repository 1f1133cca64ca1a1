"""`payspool payouts rearm`, and `payees block` and `unblock`, which it may ask for."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from sqlalchemy import Engine

from domain.db import transaction
from tests.domain.payouts import house
from tests.domain.payouts.house import rows

Command = Callable[..., Result]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, namespace: str) -> None:
    """A namespace of its own, and a clock that does not wait for calls that are on their way."""
    monkeypatch.setenv("PAYSPOOL_NAMESPACE", namespace)
    monkeypatch.setattr("time.sleep", lambda _: None)


def elsewhere(engine: Engine) -> None:
    """As if the database were a copy."""
    house.execute(
        engine,
        "INSERT INTO payout_watermark (id, server, learned_at) VALUES (1, 'a/1/1/1', now())",
    )


@pytest.mark.usefixtures("alone")
def test_without_a_stop_it_says_so(command: Command) -> None:
    done = command("payouts", "rearm")
    assert (done.exit_code, done.stdout) == (0, "Nothing is stopped after a failover.\n")
    assert json.loads(command("payouts", "rearm", "--json").stdout)["lifted"] is False


@pytest.mark.usefixtures("alone")
def test_a_copy_is_stopped_shown_and_rearmed(command: Command, engine: Engine) -> None:
    elsewhere(engine)
    told = json.loads(command("payouts", "rearm", "--dry-run", "--json").stdout)
    assert "another installation" in told["stop"]
    assert (told["dry_run"], told["lifted"]) == (True, False)
    [stop] = json.loads(command("payouts", "stops", "--json").output)
    assert stop["kind"] == "failover"
    doctor = json.loads(command("doctor", "--json").output)
    assert [f["ok"] for f in doctor if f["check"] == "Sending"] == [False]

    done = command("payouts", "rearm")
    assert done.exit_code == 0, done.output
    assert "Sending goes on" in done.output
    assert json.loads(command("payouts", "stops", "--json").output) == []
    doctor = json.loads(command("doctor", "--json").output)
    assert [f["ok"] for f in doctor if f["check"] == "Sending"] == [True]


@pytest.mark.usefixtures("alone")
def test_what_cannot_be_read_stays_stopped_and_the_command_ends_with_1(
    command: Command, engine: Engine
) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        house.payee(tx, acme)
        house.payee(tx, acme, "bea", None, method="manual")
    elsewhere(engine)
    done = command("payouts", "rearm")
    assert done.exit_code == 1
    assert "acme/stripe" in done.output
    assert "has no stripe account" in done.output
    assert "--compared acme/manual" in done.output
    assert len(json.loads(command("payouts", "stops", "--json").output)) == 2
    refused = command("payouts", "rearm", "--compared", "acme/manual")
    assert refused.exit_code == 1
    words = ["--compared", "acme/manual", "--compared", "acme/stripe", "--evidence", "seen both"]
    assert command("payouts", "rearm", *words).exit_code == 0
    assert json.loads(command("payouts", "stops", "--json").output) == []


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("words", [("--since", "yesterday"), ("--since", "2999-01-01")])
def test_a_time_that_is_none_or_too_late_is_refused(
    command: Command, engine: Engine, words: tuple[str, str]
) -> None:
    elsewhere(engine)
    done = command("payouts", "rearm", *words)
    assert done.exit_code != 0
    assert json.loads(command("payouts", "stops", "--json").output) != [] or words[1] == "yesterday"


def test_a_payee_is_blocked_and_unblocked_with_a_reason(command: Command, engine: Engine) -> None:
    with transaction(engine) as tx:
        house.payee(tx, house.merchant(tx))
    assert command("payees", "block", "acme", "ada", "--reason", " ").exit_code != 0
    assert command("payees", "block", "acme", "zed", "--reason", "who").exit_code != 0
    assert command("payees", "block", "acme", "ada", "--reason", "asked").exit_code == 0
    assert rows(engine, "SELECT blocked_reason, blocked_by FROM payees") == [("asked", "operator")]
    assert command("payees", "unblock", "acme", "ada", "--reason", "done").exit_code == 0
    assert rows(engine, "SELECT blocked_reason, blocked_by FROM payees") == [(None, None)]
    assert rows(engine, "SELECT action, reason FROM audit_entries ORDER BY id") == [
        ("payee.blocked", "asked"),
        ("payee.unblocked", "done"),
    ]
