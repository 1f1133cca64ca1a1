"""Programs, codes and holds by commands alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from payspool_client import email_hash
from tests.domain.inbox.shop import (
    PERCENTAGE,
    conversion,
    open_shop,
    rows,
    said,
    scalar,
    send,
)
from tests.domain.referrals.halves import half_claimed
from tests.payspool.cli.conftest import Command


def shown(command: Command, *arguments: str) -> Any:
    done = command(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_program_is_made_paused_resumed_copied_and_ended(
    command: Command, engine: Engine
) -> None:
    open_shop(engine, PERCENTAGE)
    for arguments in (
        (
            "create",
            "acme",
            "vip",
            "--rule",
            json.dumps(PERCENTAGE),
            "--currency",
            "eur",
            "--ends",
            "2027-01-01",
        ),
        ("pause", "acme", "vip"),
        ("resume", "acme", "vip"),
        ("copy", "acme", "vip", "vip-2"),
        ("end", "acme", "vip"),
    ):
        done = command("programs", *arguments)
        assert done.exit_code == 0, done.output
    assert rows(
        engine,
        "SELECT key, status, ends_at IS NOT NULL FROM programs JOIN program_versions ON program_id = id ORDER BY 1",
    ) == [("refer", "active", False), ("vip", "ended", True), ("vip-2", "active", True)]
    assert command("programs", "resume", "acme", "vip").exit_code != 0


def test_codes_are_made_in_bulk_into_a_file_or_not_at_all(
    command: Command, engine: Engine, tmp_path: Path
) -> None:
    open_shop(engine, PERCENTAGE)
    users, out = tmp_path / "users.txt", tmp_path / "codes.csv"
    users.write_text("".join(f"u{i}\n" for i in range(30)) + "\n")
    bulk = (
        "codes",
        "bulk",
        "acme",
        "refer",
        "--to",
        str(out),
        "--users",
        str(users),
        "--count",
        "2",
    )
    done = command(*bulk)
    assert done.exit_code == 0, done.output
    assert "60 codes" in done.output
    lines = out.read_text().splitlines()
    assert lines[0] == "user_id,code"
    assert {tuple(line.split(",")) for line in lines[1:]} == set(
        rows(engine, "SELECT user_id, code FROM codes WHERE user_id <> 'ada'")
    )
    assert "there already" in str(command(*bulk).exception)
    users.write_text("good\n" + "x" * 101)
    out.unlink()
    assert "user_id" in str(command(*bulk).exception)
    assert list(tmp_path.glob("codes*")) == []
    assert scalar(engine, "SELECT count(*) FROM codes") == 61


def test_a_code_is_validated_and_suspended(command: Command, engine: Engine) -> None:
    open_shop(engine, PERCENTAGE)
    assert shown(command, "codes", "validate", "acme", "ADA-01")["program"] == "refer"
    assert (
        command("codes", "status", "acme", "ADA-01", "suspended", "--reason", "spam").exit_code == 0
    )
    refused = command("codes", "validate", "acme", "ADA-01")
    assert refused.exit_code == 1
    assert "code_inactive" in refused.output


@pytest.mark.parametrize(("verb", "outcome"), [("release", "released"), ("reject", "rejected")])
def test_what_is_held_is_listed_and_decided_with_a_reason(
    command: Command, engine: Engine, verb: str, outcome: str
) -> None:
    open_shop(engine, PERCENTAGE)
    made = command("codes", "create", "acme", "refer", "zoe", "--email", "zoe@example.com")
    name = made.stdout.strip()
    assert command("holds", "policy", "acme", "--code-per-hour", "1").exit_code == 0
    assert shown(command, "holds", "policies", "acme")[0]["code_per_hour"] == 1
    again = email_hash("Zoe+2@example.com")
    assert said(send(engine, conversion("o1", by=name, referred_email_hash=again))) == ["applied"]
    [hold] = shown(command, "holds", "list", "acme")
    assert (hold["kind"], hold["referrer_user_id"], hold["amount_earned"]) == (
        "same_email",
        "zoe",
        1_000,
    )
    assert "same_email" in command("holds", "list", "acme").output
    assert command("holds", verb, "acme", str(hold["id"])).exit_code != 0, "without a reason"
    done = command("holds", verb, "acme", str(hold["id"]), "--reason", "looked at both")
    assert done.exit_code == 0, done.output
    assert shown(command, "holds", "list", "acme") == []
    [ended] = shown(command, "holds", "list", "acme", "--closed")
    assert (ended["outcome"], ended["close_reason"]) == (outcome, "looked at both")


@pytest.mark.parametrize("claimed", ["ada", "ben"])
def test_what_a_payout_has_of_a_rejected_hold_is_named_with_what_becomes_of_it(
    command: Command, engine: Engine, claimed: str
) -> None:
    _, payout = half_claimed(engine, claimed, sent=True)
    [hold] = shown(command, "holds", "list", "acme")
    done = command("holds", "reject", "acme", str(hold["id"]), "--reason", "one person")
    assert done.exit_code == 0, done.output
    assert f"What payout {payout} has of it is taken back" in " ".join(done.output.split())


def test_support_finds_a_users_earnings_their_history_and_why(
    command: Command, engine: Engine
) -> None:
    open_shop(engine, PERCENTAGE)
    send(engine, conversion("o1"), conversion("o2", "cyd", 5_000))
    [owed] = shown(command, "earnings", "show", "acme", "ada")
    assert (owed["currency"], owed["owed"]) == ("usd", 1_500)
    assert [
        row["transaction_id"] for row in shown(command, "earnings", "history", "acme", "ada")
    ] == [
        "o2",
        "o1",
    ]
    told = shown(command, "earnings", "explain", "acme", "--transaction", "o2")
    assert told["tracking"]["amount_earned"] == 500
    assert told["terms"]["rule"] == PERCENTAGE
    text = command("earnings", "explain", "acme", str(told["tracking"]["id"])).output
    assert "10 % of 50.00 USD: 5.00 USD" in text
    assert shown(command, "programs", "stats", "acme", "refer")[0]["earned"] == 1_500
    assert (
        shown(command, "programs", "stats", "acme", "refer", "--by-day")[0]["day"] == "2026-06-01"
    )
