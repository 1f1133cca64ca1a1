"""Paying by bank file with commands only, for a merchant without a gateway account."""

import json
from pathlib import Path

from sqlalchemy import Engine

from domain.db import transaction
from tests.domain.payouts.house import assert_whole, earn, merchant, scalar
from tests.payspool.cli.conftest import Command

DATA = '{"type": "iban", "name": "Ada", "iban": "DE89 3704 0044 0532 0130 00"}'


def test_a_payee_is_paid_by_bank_file_and_bank_data_is_never_shown(
    command: Command, engine: Engine, tmp_path: Path
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        earn(tx, acme, 1_005)
    told = command("payees", "recipient", "acme", "ada", "--file", "-", input=DATA)
    assert told.exit_code == 0, told.output
    assert "DE89 … 3000" in told.output
    listed = command("payees", "list", "acme", "--json")
    made = json.loads(command("payouts", "run", "acme", "--method", "manual", "--json").stdout)
    assert made["created"] == 1
    out = tmp_path / "june.csv"
    exported = command("payouts", "export", "acme", str(made["run_id"]), "--out", str(out))
    assert exported.exit_code == 0, exported.output
    assert "10.05,USD,Ada,DE89370400440532013000" in out.read_text()
    assert out.stat().st_mode & 0o077 == 0
    payout = str(scalar(engine, "SELECT id FROM payouts"))
    paid = command("payouts", "mark-paid", "acme", payout, "--reference", "BANK-1")
    assert paid.exit_code == 0, paid.output
    assert scalar(engine, "SELECT state FROM payouts") == "paid"
    for said in (told, listed, exported, paid):
        assert "DE893704" not in said.output.replace(" ", "")
    assert_whole(engine)


def test_a_wrong_iban_is_refused_and_changes_nothing(command: Command, engine: Engine) -> None:
    with transaction(engine) as tx:
        merchant(tx)
    refused = command(
        "payees", "recipient", "acme", "ada", "--file", "-", input=DATA.replace("DE89", "DE88")
    )
    assert refused.exit_code != 0
    assert scalar(engine, "SELECT count(*) FROM payees") == 0
