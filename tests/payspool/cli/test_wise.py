"""`payspool merchants wise` and `payspool payees set-wise`: set up, checked, and shown to nobody."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.merchants import service
from domain.merchants.service import PaysElsewhere
from domain.payouts.rules.wise_recipients import parse_wise_recipient
from domain.payouts.service import recipients
from domain.secrets import SecretBox
from tests.domain.payouts.house import rows, scalar
from tests.payspool.cli.conftest import Command
from tests.workers.gateways.local_stripe import LocalStripe
from tests.workers.gateways.local_wise import IBANS, WiseAccount
from workers.gateways.errors import KeyRefused

ADA = {"type": "iban", "currency": "eur", "name": "Ada Example", "iban": IBANS[0]}


@pytest.fixture
def wise(local_stripe: LocalStripe) -> Iterator[WiseAccount]:
    made = WiseAccount(local_stripe)
    yield made
    made.close()


@pytest.fixture
def acme(command: Command, wise: WiseAccount) -> Command:
    """A merchant that pays by Wise."""
    command("merchants", "add", "acme")
    said = command("merchants", "wise", "acme", "--token", "-", input=wise.token)
    assert said.exit_code == 0, said
    assert wise.profile in said.output
    assert wise.token not in said.output
    return command


def test_a_token_is_kept_encrypted_with_its_profile_and_the_key_of_its_webhooks(
    acme: Command, engine: Engine, wise: WiseAccount
) -> None:
    box = SecretBox([os.environ["PAYSPOOL_SECRET_KEYS"]])
    with transaction(engine) as tx:
        account = service.gateway_account(tx, service.get(tx, "acme").id, "wise", box=box)
    assert account is not None
    assert (account.api_key, account.platform_account) == (wise.token, wise.account)
    assert "BEGIN PUBLIC KEY" in str(account.webhook_secret)
    [(kept,)] = rows(engine, "SELECT api_key_encrypted FROM gateway_accounts WHERE method = 'wise'")
    assert wise.token.encode() not in bytes(kept)
    audited = rows(
        engine, "SELECT before, after FROM audit_entries WHERE subject_kind = 'merchant'"
    )
    assert wise.token not in json.dumps(audited)
    [listed] = json.loads(acme("merchants", "list", "--json").stdout)
    assert listed["methods"] == ["stripe", "wise"]


def test_with_the_sandbox_its_own_token_is_the_default(command: Command, engine: Engine) -> None:
    command("merchants", "add", "acme")
    assert command("merchants", "wise", "acme").exit_code == 0


def test_a_token_that_wise_does_not_know_or_on_the_command_line_changes_nothing(
    acme: Command, engine: Engine, wise: WiseAccount
) -> None:
    said = acme("merchants", "wise", "acme", "--token", "-", input="wise-unknown-token")
    assert isinstance(said.exception, KeyRefused)
    assert "unknown-token" not in str(said.exception)
    said = acme("merchants", "wise", "acme", "--token", wise.token)
    assert isinstance(said.exception, Invalid)
    said = acme("merchants", "wise", "acme", "--token", "-", "--profile", "1", input=wise.token)
    assert isinstance(said.exception, Invalid)
    assert wise.profile in str(said.exception)
    assert (
        scalar(engine, "SELECT platform_account FROM gateway_accounts WHERE method = 'wise'")
        == wise.account
    )


def test_another_profile_is_refused_while_money_is_on_its_way(
    acme: Command, engine: Engine, local_stripe: LocalStripe, tmp_path: Path
) -> None:
    other = WiseAccount(local_stripe)
    with transaction(engine) as tx:
        found = service.get(tx, "acme")
        with pytest.raises(PaysElsewhere):
            service.set_wise_account(
                tx,
                found,
                token=other.token,
                base_url=other.url,
                account=other.account,
                public_key=None,
                box=SecretBox([os.environ["PAYSPOOL_SECRET_KEYS"]]),
                actor=service.Actor("command", "tests"),
                in_use=["16000002-before"],
            )
    other.close()


def test_bank_data_is_told_to_wise_once_kept_encrypted_and_never_shown(
    acme: Command, engine: Engine, wise: WiseAccount, tmp_path: Path
) -> None:
    file = tmp_path / "ada.json"
    file.write_text(json.dumps(ADA))
    said = acme("payees", "set-wise", "acme", "ada", "--file", str(file))
    assert said.exit_code == 0, said
    assert "EUR, DE89 … 3000" in said.output
    assert IBANS[0] not in said.output
    again = acme("payees", "set-wise", "acme", "ada", "--file", str(file))
    assert again.output == said.output
    made = wise.call("GET", f"/v1/accounts?profile={wise.profile}")
    assert [one["accountHolderName"] for one in made] == ["Ada Example"]
    [(method, account)] = rows(engine, "SELECT method, account FROM payees")
    assert (method, account) == ("wise", str(made[0]["id"]))
    [(data, external)] = rows(engine, "SELECT data_encrypted, external_id FROM payee_recipients")
    box = SecretBox([os.environ["PAYSPOOL_SECRET_KEYS"]])
    assert parse_wise_recipient(box.decrypt(bytes(data), "recipient")).fields == {"iban": IBANS[0]}
    assert external == account
    assert IBANS[0] not in json.dumps(rows(engine, "SELECT after FROM audit_entries"))


def test_another_account_is_another_recipient(
    acme: Command, engine: Engine, tmp_path: Path
) -> None:
    for iban in IBANS:
        said = acme(
            "payees",
            "set-wise",
            "acme",
            "ada",
            "--file",
            "-",
            input=json.dumps({**ADA, "iban": iban}),
        )
        assert said.exit_code == 0, said
    assert scalar(engine, "SELECT count(DISTINCT external_id) FROM payee_recipients") == 3
    newest = scalar(engine, "SELECT external_id FROM payee_recipients ORDER BY id DESC LIMIT 1")
    assert scalar(engine, "SELECT account FROM payees") == newest


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"iban": "DE89370400440532013001"}, "iban"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "EUR"}, "currency"),
        ({"type": "bitcoin"}, "type"),
        ({"name": "A"}, "name"),
        ({"bic": "COBADEFF"}, "bic"),
        ({"address": {"country": "Germany"}}, "address.country"),
        ({"legal_type": "ROBOT"}, "legal_type"),
    ],
)
def test_bad_bank_data_is_refused_by_its_field_and_nothing_is_kept(
    acme: Command, engine: Engine, changed: dict[str, object], field: str
) -> None:
    said = acme("payees", "set-wise", "acme", "ada", "--file", "-", input=json.dumps(ADA | changed))
    assert isinstance(said.exception, Invalid)
    assert said.exception.field == field
    assert scalar(engine, "SELECT count(*) FROM payees") == 0


def test_a_recipient_that_wise_knows_already_is_named_by_its_number(
    acme: Command, engine: Engine, wise: WiseAccount
) -> None:
    number = wise.recipient()
    assert acme("payees", "set-wise", "acme", "ada", "--recipient", number).exit_code == 0
    said = acme("payees", "check", "acme", "ada")
    assert said.exit_code == 0, said
    wise.delete(number)
    said = acme("payees", "check", "acme", "ada")
    assert isinstance(said.exception, Forbidden)
    assert "deleted" in str(said.exception)
    said = acme("payees", "set-wise", "acme", "bob", "--recipient", "1")
    assert isinstance(said.exception, Forbidden)
    assert scalar(engine, "SELECT count(*) FROM payees") == 1


def test_without_a_wise_account_nothing_is_set(command: Command) -> None:
    command("merchants", "add", "acme")
    said = command("payees", "set-wise", "acme", "ada", "--recipient", "40000001")
    assert isinstance(said.exception, NotFound)
    assert "merchants wise" in str(said.exception)


def test_a_payee_of_bank_files_is_checked_without_asking_anybody(
    command: Command, engine: Engine
) -> None:
    command("merchants", "add", "acme")
    given = json.dumps({"type": "iban", "name": "Bo", "iban": IBANS[1]})
    assert command("payees", "recipient", "acme", "bo", "--file", "-", input=given).exit_code == 0
    said = command("payees", "check", "acme", "bo")
    assert said.exit_code == 0, said
    with transaction(engine) as tx:
        tx.exec_driver_sql("UPDATE payees SET account = 'rcp_999'")
    said = command("payees", "check", "acme", "bo")
    assert isinstance(said.exception, Forbidden)
    assert "no bank data" in str(said.exception)


def test_a_payee_may_change_between_wise_and_bank_files_and_back(
    acme: Command, engine: Engine
) -> None:
    manual = json.dumps({"type": "iban", "name": "Ada Example", "iban": IBANS[0]})
    for _ in range(2):
        assert (
            acme(
                "payees", "set-wise", "acme", "ada", "--file", "-", input=json.dumps(ADA)
            ).exit_code
            == 0
        )
        assert (
            acme("payees", "recipient", "acme", "ada", "--file", "-", input=manual).exit_code == 0
        )
    assert scalar(engine, "SELECT count(*) FROM payee_recipients") == 2


def test_a_new_secret_key_reads_and_renews_recipients_of_wise_too(
    acme: Command, engine: Engine
) -> None:
    acme("payees", "set-wise", "acme", "ada", "--file", "-", input=json.dumps(ADA))
    box = SecretBox([os.environ["PAYSPOOL_SECRET_KEYS"]])
    before = scalar(engine, "SELECT fingerprint FROM payee_recipients")
    with transaction(engine) as tx:
        assert recipients.reseal(tx, box=box, actor=service.Actor("command", "tests")) == 1
    # Read as it was kept: the same destination as when it was given.
    assert scalar(engine, "SELECT fingerprint FROM payee_recipients") == before


def test_a_merchant_may_have_no_stripe_account_at_all(command: Command, engine: Engine) -> None:
    said = command("merchants", "add", "acme", "--live", "--without-stripe")
    assert said.exit_code == 0, said
    assert scalar(engine, "SELECT count(*) FROM gateway_accounts") == 0
    said = command("merchants", "wise", "acme", "--token", "-", input="some-wise-token")
    assert isinstance(said.exception, Invalid)
    assert "a live merchant pays through https://api.wise.com only" in str(said.exception)
    both = command("merchants", "add", "bcme", "--without-stripe", "--stripe-key", "-")
    assert isinstance(both.exception, Invalid)
