"""`payspool payouts reconcile`, `differences` and `resolve-difference`; `payspool payees adjust`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from sqlalchemy import Engine

from domain.db import transaction
from tests.domain.payouts import house
from tests.domain.payouts.house import assert_whole, rows
from tests.workers.gateways.local_stripe import Platform
from tests.workers.payouts.office import Office

Command = Callable[..., Result]


@pytest.fixture
def paid(command: Command, engine: Engine, platform: Platform) -> Office:
    """A merchant whose key is set, one payout that was paid, and a transfer made by hand."""
    platform.fund(100_000)
    office = Office(engine, platform)
    office.owe(1_000)
    office.build()
    office.work_off()
    platform.call(
        "POST", "/v1/transfers", amount="555", currency="usd", destination=platform.account()
    )
    set_ = command("merchants", "stripe-key", "acme", input=f"{platform.key}\n")
    assert set_.exit_code == 0, set_.output
    return office


def test_what_differs_is_told_listed_and_resolved_with_a_note(
    paid: Office, command: Command
) -> None:
    none_yet = command("payouts", "differences", "acme")
    assert "payspool payouts reconcile acme" in none_yet.stdout
    report = json.loads(command("payouts", "reconcile", "acme", "--json").stdout)
    assert report["open"] == {"missing_here": 1}
    said = command("payouts", "reconcile", "acme").stdout
    assert "Open differences: 1 missing_here." in said
    assert "transfer: 2, " in said

    [row] = json.loads(command("payouts", "differences", "acme", "--json").stdout)
    assert (row["kind"], row["theirs"], row["state"]) == ("missing_here", "555", "open")
    number = str(row["id"])
    for refused in (("7777", "--note", "who"), (number, "--note", " "), (number,)):
        assert command("payouts", "resolve-difference", "acme", *refused).exit_code != 0
    done = command("payouts", "resolve-difference", "acme", number, "--note", "invoice 12")
    assert done.exit_code == 0, done.output
    again = command("payouts", "resolve-difference", "acme", number, "--note", "twice")
    assert again.exit_code == 1
    assert json.loads(command("payouts", "differences", "acme", "--json").stdout) == []
    [kept] = json.loads(command("payouts", "differences", "acme", "--all", "--json").stdout)
    assert (kept["state"], kept["resolved_note"]) == ("resolved", "invoice 12")
    assert "No difference is open." in command("payouts", "reconcile", "acme").stdout


def test_days_are_checked_and_a_merchant_can_be_scheduled(paid: Office, command: Command) -> None:
    bad = command("payouts", "reconcile", "acme", "--from", "yesterday")
    assert bad.exit_code == 1
    assert "'yesterday' is no day or time" in str(bad.exception)
    empty = command("payouts", "reconcile", "acme", "--from", "2026-07-01", "--to", "2026-06-01")
    assert empty.exit_code == 1
    assert command("payouts", "reconcile", "nobody").exit_code == 1
    assert command("payouts", "reconcile", "acme").exit_code == 0
    before = json.loads(
        command(
            "payouts", "reconcile", "acme", "--from", "2010-01-01", "--to", "2010-02-01", "--json"
        ).stdout
    )
    assert (before["transactions"], before["books"]) == (0, [])
    assert command("payouts", "reconcile", "acme", "--daily").exit_code == 0
    assert rows(paid.engine, "SELECT name FROM schedules WHERE name = 'payouts.reconcile/acme'")


def test_a_small_adjustment_is_booked_and_a_large_one_takes_two_people(
    command: Command, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(engine) as tx:
        house.payee(tx, house.merchant(tx))
    monkeypatch.setenv("USER", "ann")
    adjust = ("payees", "adjust", "acme")
    for refused in (
        ("ada", "0", "usd", "--reason", "nothing"),
        ("ada", "5", "dollars", "--reason", "no currency"),
        ("ada", "5", "usd", "--reason", " "),
        ("zed", "5", "usd", "--reason", "nobody"),
    ):
        assert command(*adjust, *refused).exit_code == 1, refused
    assert rows(engine, "SELECT id FROM earnings") == []
    small = command(*adjust, "ada", "-700", "USD", "--reason", "paid by hand")
    assert "is booked" in small.stdout
    large = command(*adjust, "ada", "10001", "usd", "--reason", "missed")
    assert "agree-adjustment acme 2" in large.stdout
    assert command("payees", "agree-adjustment", "acme", "2").exit_code == 1, "the same person"
    monkeypatch.setenv("USER", "bob")
    assert command("payees", "agree-adjustment", "acme", "2").exit_code == 0
    assert command("payees", "agree-adjustment", "acme", "2").exit_code == 1, "once"
    command(*adjust, "ada", "20000", "usd", "--reason", "too much")
    assert command("payees", "reject-adjustment", "acme", "3").exit_code == 0
    assert rows(engine, "SELECT amount, kind FROM earnings ORDER BY id") == [
        (-700, "adjustment"),
        (10_001, "adjustment"),
    ]
    assert_whole(engine)
