"""A merchant's Stripe key: given without being shown, of the right kind, and of the right account."""

import json
import os
import socket

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.merchants import service
from domain.merchants.service import PaysElsewhere
from domain.secrets import SecretBox
from tests.domain.payouts.house import begin, earn, payee, rows, run, scalar
from tests.payspool.cli.conftest import Command
from tests.workers.gateways.local_stripe import LocalStripe, Platform
from workers.gateways.errors import GatewaySilent, KeyRefused
from workers.gateways.stripe_account import platform_account


def kept_key(engine: Engine) -> tuple[str, str | None, str | None]:
    """The key, its account and the webhook secret that the one merchant has."""
    box = SecretBox([os.environ["PAYSPOOL_SECRET_KEYS"]])
    with transaction(engine) as tx:
        merchant = service.get(tx, "acme")
        account = service.gateway_account(tx, merchant.id, "stripe", box=box)
    assert account is not None
    return account.api_key, account.platform_account, account.webhook_secret


def test_a_key_is_read_from_a_pipe_asked_about_and_kept_with_its_account(
    command: Command, engine: Engine, platform: Platform, local_stripe: LocalStripe
) -> None:
    assert command("merchants", "add", "acme").exit_code == 0
    said = command("merchants", "stripe-key", "acme", input=f"{platform.key}\n")
    assert said.exit_code == 0, said.output
    assert platform.account_id in said.output
    assert platform.key not in said.output
    assert kept_key(engine) == (platform.key, platform.account_id, None)
    [row] = json.loads(command("merchants", "list", "--json").stdout)
    assert row["stripe_account"] == platform.account_id
    [(before, after)] = rows(
        engine,
        "SELECT before, after FROM audit_entries WHERE action = 'gateway_account.set' ORDER BY id DESC LIMIT 1",
    )
    assert (before["account"] is not None, after["account"]) == (True, platform.account_id)
    assert platform.key not in json.dumps([before, after])


def test_a_webhook_secret_is_set_alone_and_stays_while_the_account_stays(
    command: Command, engine: Engine, platform: Platform, local_stripe: LocalStripe
) -> None:
    added = command(
        "merchants", "add", "acme", "--stripe-key", "-", "--webhook-secret", "-",
        input=f"{platform.key}\nwhsec_one\n",
    )  # fmt: skip
    assert added.exit_code == 0, added.output
    assert kept_key(engine) == (platform.key, platform.account_id, "whsec_one")
    assert command("merchants", "webhook-secret", "acme", input="whsec_two\n").exit_code == 0
    other = "sk_test_second_key"
    local_stripe.admin("POST", "keys", key=other, platform=platform.account_id)
    assert command("merchants", "stripe-key", "acme", input=other).exit_code == 0
    assert kept_key(engine) == (other, platform.account_id, "whsec_two")
    elsewhere = local_stripe.platform()
    assert command("merchants", "stripe-key", "acme", input=elsewhere.key).exit_code == 0
    assert kept_key(engine) == (elsewhere.key, elsewhere.account_id, None)
    elsewhere.close()


def test_no_secret_is_taken_from_the_command_line(
    command: Command, engine: Engine, platform: Platform
) -> None:
    for option in ("--stripe-key", "--webhook-secret"):
        said = command("merchants", "add", "acme", option, platform.key)
        assert isinstance(said.exception, Invalid)
        assert "lists processes" in str(said.exception)
        assert platform.key not in str(said.exception)
    assert scalar(engine, "SELECT count(*) FROM merchants") == 0


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("sk_test_nobody_knows_it", KeyRefused),
        ("sk_live_abc", Invalid),
        ("pk_test_abc", Invalid),
        ("\n", Invalid),
    ],
)
def test_a_key_that_cannot_pay_is_refused_and_changes_nothing(
    command: Command, engine: Engine, platform: Platform, given: str, error: type[Exception]
) -> None:
    command("merchants", "add", "acme", "--stripe-key", "-", input=platform.key)
    said = command("merchants", "stripe-key", "acme", input=given)
    assert isinstance(said.exception, error), said
    assert kept_key(engine)[0] == platform.key


def test_a_key_of_another_account_is_refused_while_an_attempt_is_on_its_way(
    command: Command, engine: Engine, platform: Platform, local_stripe: LocalStripe
) -> None:
    command("merchants", "add", "acme", "--stripe-key", "-", input=platform.key)
    with transaction(engine) as tx:
        acme = service.get(tx, "acme").id
        payee(tx, acme)
        earn(tx, acme, 1_000)
    run(engine, acme)
    begin(engine, scalar(engine, "SELECT id FROM payouts"))
    said = command("merchants", "stripe-key", "acme", input=platform.key)
    assert isinstance(said.exception, PaysElsewhere)
    assert "acct_paper" in str(said.exception)
    assert "--state unknown" in str(said.exception)
    assert kept_key(engine) == (platform.key, platform.account_id, None)


def test_a_gateway_that_does_not_answer_is_told_within_its_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(GatewaySilent, match=r"127\.0\.0\.1"):
            platform_account("sk_test_x", address, mode="test", read_seconds=0.2)


def test_a_payee_is_checked_at_the_gateway(
    command: Command, engine: Engine, platform: Platform
) -> None:
    command("merchants", "add", "acme", "--stripe-key", "-", input=platform.key)
    assert isinstance(command("payees", "check", "acme", "ada").exception, NotFound)
    account = platform.account()
    command("payees", "set", "acme", "ada", "--account", account)
    said = command("payees", "check", "acme", "ada")
    assert said.exit_code == 0, said
    assert f"ada can be paid to {account}" in said.output
    platform.set_state(account, "restricted")
    refused = command("payees", "check", "acme", "ada")
    assert isinstance(refused.exception, Forbidden)
    assert account in str(refused.exception)


def test_the_second_leg_is_chosen_and_kept_with_who_chose_it(
    command: Command, engine: Engine, platform: Platform, local_stripe: LocalStripe
) -> None:
    assert command("merchants", "add", "acme").exit_code == 0
    command("merchants", "stripe-key", "acme", input=f"{platform.key}\n")
    assert command("merchants", "stripe-bank-leg", "acme", "maybe").exit_code != 0
    said = command("merchants", "stripe-bank-leg", "acme", "on")
    assert said.exit_code == 0, said.output
    assert "manual" in said.output
    assert "already" in command("merchants", "stripe-bank-leg", "acme", "on").output
    # A new key changes nothing about it.
    command("merchants", "stripe-key", "acme", input=f"{platform.key}\n")
    [listed] = json.loads(command("merchants", "list", "--json").stdout)
    assert listed["stripe_bank_leg"] is True
    assert rows(
        engine, "SELECT before, after FROM audit_entries WHERE action = 'merchant.bank_leg_set'"
    ) == [({"bank_leg": False}, {"bank_leg": True})]


def test_a_payee_is_checked_for_the_second_leg_and_what_to_do_is_said(
    command: Command, engine: Engine, platform: Platform, local_stripe: LocalStripe
) -> None:
    assert command("merchants", "add", "acme").exit_code == 0
    command("merchants", "stripe-key", "acme", input=f"{platform.key}\n")
    account = platform.account()
    command("payees", "set", "acme", "ada", "--account", account)
    assert command("payees", "check", "acme", "ada").exit_code == 0
    command("merchants", "stripe-bank-leg", "acme", "on")
    refused = command("payees", "check", "acme", "ada")
    assert refused.exit_code == 1
    assert "set the account's payout schedule to manual" in str(refused.exception)
    platform.call(
        "POST",
        f"/v1/accounts/{account}",
        **{"settings[payouts][schedule][interval]": "manual"},
    )
    said = command("payees", "check", "acme", "ada")
    assert said.exit_code == 0, said.output
    assert "bank in USD" in said.output
