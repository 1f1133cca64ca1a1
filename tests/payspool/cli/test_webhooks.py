"""`payspool webhooks`: an endpoint's life by command, its secrets shown once, and the log."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from domain.db import transaction
from domain.earnings import service as earnings
from domain.secrets import SecretBox
from domain.webhooks import delivery_store, store
from tests.domain.payouts import house
from tests.payspool.cli.conftest import Command

HERE = "http://127.0.0.1:9/hooks"


Run = Callable[..., str]


@pytest.fixture
def run(command: Command) -> Run:
    """What a command said; one that is refused says why."""

    def said(*arguments: str, ok: bool = True) -> str:
        done = command(*arguments)
        assert (done.exit_code == 0) == ok, done.output
        return done.stdout if ok else f"{done.output} {done.exception}"

    return said


@pytest.fixture
def acme(run: Run) -> str:
    """The key of its secrets."""
    run("merchants", "add", "acme")
    return os.environ["PAYSPOOL_SECRET_KEYS"]


def added(run: Run, *more: str) -> dict[str, Any]:
    return json.loads(run("webhooks", "add", "acme", HERE, *more, "--json"))


def test_an_endpoint_is_added_shown_changed_and_removed(run: Run, acme: str, engine: Any) -> None:
    made = added(run, "--type", "payout.paid", "--description", "the shop's books")
    [row] = json.loads(run("webhooks", "list", "acme", "--json"))
    assert (row["id"], row["types"], row["state"], row["pending"]) == (
        1,
        ["payout.paid"],
        "enabled",
        0,
    )
    assert "whsec" not in run("webhooks", "show", "acme", "1", "--json")
    assert "the shop's books" in run("webhooks", "show", "acme", "1")
    run("webhooks", "change", "acme", "1", "--type", "card.created", "--type", "payout.paid")
    rolled = json.loads(run("webhooks", "roll", "acme", "1", "--json"))
    assert rolled["secret"] != made["secret"]
    with transaction(engine) as tx:
        [kept] = store.lock_secrets(tx)
    box = SecretBox([acme])
    assert box.decrypt(kept.secret_encrypted, "") == rolled["secret"]
    assert box.decrypt(kept.old_secret_encrypted, "") == made["secret"]
    assert "Disabled endpoint 1" in run("webhooks", "disable", "acme", "1", "--reason", "moving")
    assert "moving" in run("webhooks", "show", "acme", "1")
    assert "Enabled endpoint 1" in run("webhooks", "enable", "acme", "1")
    assert "canceled 0" in run("webhooks", "remove", "acme", "1")
    assert "No endpoints yet" in run("webhooks", "list", "acme")


def test_bad_input_is_refused_by_name_and_leaves_nothing(run: Run, acme: str) -> None:
    for arguments, why in (
        (("add", "acme", "https://169.254.169.254/latest"), "no public address"),
        (("add", "acme", "http://10.0.0.1/"), "no public address"),
        (("add", "acme", "shop.example.com"), "give one as https://"),
        (("add", "acme", HERE, "--type", "payout.sent"), "there is no 'payout.sent'"),
        (("add", "nobody", HERE), "no merchant 'nobody'"),
        (("show", "acme", "7"), "no webhook endpoint '7'"),
        (("resend", "acme"), "Name a delivery"),
        (("resend", "acme", "9"), "no webhook delivery '9'"),
        (("resend", "acme", "--endpoint", "1", "--failed-since", "soon"), "no day or time"),
    ):
        said = run("webhooks", *arguments, ok=False)
        assert why in " ".join(said.split()), arguments
    assert json.loads(run("webhooks", "list", "acme", "--json")) == []


def test_the_log_is_read_and_what_failed_is_sent_again(run: Run, acme: str, engine: Any) -> None:
    added(run)
    with transaction(engine) as tx:
        merchant_id = tx.execute(text("SELECT id FROM merchants WHERE key = 'acme'")).scalar_one()
        earnings.record(tx, [house.earning(merchant_id, 500), house.earning(merchant_id, 700)])
        tx.execute(
            text(
                "UPDATE webhook_deliveries SET state = 'failed', settled_at = now(), tries = 10, status = 500"
            )
        )
    rows = json.loads(run("webhooks", "deliveries", "acme", "--state", "failed", "--json"))
    assert [(row["type"], row["tries"]) for row in rows] == [("earning.created", 10)] * 2
    assert "is sent again" in run("webhooks", "resend", "acme", str(rows[0]["id"]))
    assert "still on its way" in run("webhooks", "resend", "acme", str(rows[0]["id"]))
    since = ("--endpoint", "1", "--failed-since", "2020-01-01")
    assert run("webhooks", "resend", "acme", *since) == "Sent again: 1.\n"
    assert run("webhooks", "resend", "acme", *since) == "Sent again: 0.\n"
    shown = ("deliveries", "acme", "--delivery", str(rows[0]["id"]))
    assert "Nothing was sent" in run("webhooks", *shown)
    with transaction(engine) as tx:
        assert delivery_store.standing(tx, 10).pending == 2


def test_trying_an_endpoint_without_a_courier_says_so(
    run: Run, acme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payspool.cli.webhooks.TESTED_SECONDS", 0.2)
    added(run)
    assert "does `payspool courier` run?" in run("webhooks", "test", "acme", "1", ok=False)
