"""`payspool payouts policy`, `run`, `runs`, `show`, `approve` and `reject`."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from sqlalchemy import Engine

from domain.access import service as access
from domain.audit.service import Actor
from domain.db import transaction
from domain.merchants import service as merchants
from domain.referrals import holds
from domain.referrals.rules.holds import HoldPolicy
from payspool.cli.payouts.policies import SENTENCES
from tests.domain.inbox import shop
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
        house.payee(tx, acme, "bob", "acct_bob")
        house.earn(tx, acme, 5, "bob")
    set_ = command("payouts", "policy", "acme", "--currency", "usd", "--auto-run", "800", "--json")
    assert json.loads(set_.output) == {
        "approval": "above_limits",
        "approval_hours": 72,
        "cooling_off_hours": 0,
        "bank_leg": False,
        "limits": {"usd": dict.fromkeys(SENTENCES) | {"auto_run": 800}},
    }
    made = json.loads(command("payouts", "run", "acme", "--minimum", "usd=10", "--json").output)
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


def test_without_a_hash_the_run_is_shown_and_what_is_approved_is_what_was_shown(
    command: Command, engine: Engine, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ben")
    approve = ("payouts", "approve", "acme", str(waiting))
    for options in ((), ("--yes",)):
        refused = command(*approve, *options, input="y\n")
        assert refused.exit_code != 0, "nobody is there to read it"
    monkeypatch.setattr("payspool.cli.session.interactive", lambda: True)
    shown = command(*approve, input="n\n")
    assert shown.exit_code == 1
    hashed = house.scalar(engine, "SELECT encode(members_hash, 'hex') FROM payout_runs")
    for told in (f"hash: {hashed}", "1 payout, 9.00 USD", "1 left out: below_minimum", "ann"):
        assert told in shown.output
    assert house.scalar(engine, "SELECT state FROM payout_runs") == "pending_approval"
    assert command(*approve, input="y\n").exit_code == 0
    assert house.rows(engine, "SELECT approved_by, state FROM payout_runs") == [("ben", "sending")]


def test_a_key_that_a_person_holds_is_who_they_are_if_it_is_good_for_it(
    command: Command, engine: Engine, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payspool.cli.session.interactive", lambda: True)
    ann = Actor("person", "ann")
    with transaction(engine) as tx:
        house.merchant(tx, "globex")
        acme, globex = (merchants.get(tx, key) for key in ("acme", "globex"))
        other = access.create(tx, globex, "cyd", ["payouts:approve"], actor=ann)
        weak = access.create(tx, acme, "cyd", ["payouts:write"], actor=ann)
        good = access.create(tx, acme, "cyd", ["payouts:approve"], actor=ann)
    approve = ("payouts", "approve", "acme", str(waiting), "--yes")
    for key in ("psk_test_unknown", other, weak):
        monkeypatch.setenv("PAYSPOOL_OPERATOR_KEY", key)
        assert command(*approve).exit_code != 0
    monkeypatch.setenv("PAYSPOOL_OPERATOR_KEY", good)
    done = command(*approve)
    assert done.exit_code == 0, done.output
    assert house.scalar(engine, "SELECT approved_by FROM payout_runs") == "acme/cyd"
    [(who,)] = house.rows(
        engine, "SELECT actor_id FROM audit_entries WHERE action = 'payout_run.approved'"
    )
    assert who == "acme/cyd"


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
        ("--max-day", "5"),
        ("--currency", "usd", "--without", "max-week"),
        ("--currency", "usd", "--max-day", "5", "--without", "max-day"),
        ("--currency", "usd", "--minimum", "6", "--max-payout", "5"),
        ("--currency", "usd", "--max-run", "-1"),
    ):
        assert command("payouts", "policy", "acme", *options).exit_code != 0, options
    assert command("payouts", "show", "acme", "999").exit_code != 0


def test_hard_limits_are_set_told_and_taken_away_and_need_no_person(
    command: Command, engine: Engine
) -> None:
    with transaction(engine) as tx:
        acme = house.merchant(tx)
        house.payee(tx, acme)
        house.earn(tx, acme, 900)
    set_ = ("payouts", "policy", "acme", "--currency", "usd")
    told = command(*set_, "--max-payout", "800", "--max-day", "5000", "--minimum", "100").output
    assert "approves: never" in told
    assert "never pays more than 8.00 USD at once" in told
    assert "pays at least 1.00 USD at once" in told
    [line] = json.loads(command("payouts", "preview", "acme", "--json").output)
    assert (line["decision"], line["detail"]) == (
        "over_limit",
        "900 is above the 800 of one payout",
    )
    kept = json.loads(command(*set_, "--without", "max-payout", "--json").output)["limits"]["usd"]
    assert (kept["max_payout"], kept["max_day"], kept["minimum"]) == (None, 5000, 100)
    [line] = json.loads(command("payouts", "preview", "acme", "--json").output)
    assert line["decision"] == "pay"
    [(actions,)] = house.rows(
        engine, "SELECT count(*) FROM audit_entries WHERE action = 'payout_policy.set'"
    )
    assert actions == 2


def test_a_run_by_hand_looks_before_it_claims(
    command: Command, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ann")
    acme = shop.open_shop(engine, shop.PERCENTAGE)
    with transaction(engine) as tx:
        policy = HoldPolicy(shared_destination=True)
        holds.set_policy(tx, acme, None, policy, actor=Actor("person", "ann"))
        house.payee(tx, acme, "ada")
    shop.send(engine, shop.conversion("o1"))
    with transaction(engine) as tx:
        house.payee(tx, acme, "ben")
    made = json.loads(command("payouts", "run", "acme", "--json").output)
    assert made["reasons"] == {"on_hold": 1}
