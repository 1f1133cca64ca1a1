"""Paying by bank file with commands only, for a merchant without a gateway account."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.installation import installation_code
from domain.payouts.rules.watermark import KEPT_ATTEMPTS
from queues.connection import connect
from queues.marks import Marks
from tests.domain.payouts.house import assert_whole, earn, merchant, one_payout, scalar
from tests.payspool.cli.conftest import Command


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, namespace: str) -> None:
    """A namespace of its own: what another test's database sent is not forgotten by this one's."""
    monkeypatch.setenv("PAYSPOOL_NAMESPACE", namespace)


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


def test_who_gets_a_file_again_is_told_that_the_bank_may_have_had_it(
    command: Command, engine: Engine, tmp_path: Path
) -> None:
    """As after a refusal: without `retry` there is no next file, and this one pays the others again."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user in ("ada", "bob"):
            earn(tx, acme, 1_005, user)
    for user in ("ada", "bob"):
        command("payees", "recipient", "acme", user, "--file", "-", input=DATA)
    run = json.loads(command("payouts", "run", "acme", "--method", "manual", "--json").stdout)
    asked = ("payouts", "export", "acme", str(run["run_id"]), "--out", str(tmp_path / "june.csv"))
    assert "would pay again" not in command(*asked).output
    again = command(*asked).output
    assert "would pay again" in again
    assert "it has had the file" not in again
    first, last = (str(scalar(engine, f"SELECT {one}(id) FROM payouts")) for one in ("min", "max"))
    command("payouts", "mark-paid", "acme", first, "--reference", "BANK-1")
    command("payouts", "mark-paid", "acme", last, "--failed", "account closed")
    told = command(*asked)
    assert "The bank's word on 2 payouts of it is known already" in told.output
    assert json.loads(command(*asked, "--json").stdout)["settled"] == 2
    command("payouts", "retry", "acme", last)
    assert "would pay again" not in command(*asked).output
    assert len((tmp_path / "june.csv").read_text().splitlines()) == 2, (
        "the head, and what was refused"
    )


def test_a_wrong_iban_is_refused_and_changes_nothing(command: Command, engine: Engine) -> None:
    with transaction(engine) as tx:
        merchant(tx)
    refused = command(
        "payees", "recipient", "acme", "ada", "--file", "-", input=DATA.replace("DE89", "DE88")
    )
    assert refused.exit_code != 0
    assert scalar(engine, "SELECT count(*) FROM payees") == 0


def test_a_file_of_xml_is_paid_from_the_merchants_own_account(
    command: Command, engine: Engine, tmp_path: Path
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        earn(tx, acme, 1_005, currency="eur")
    command("payees", "recipient", "acme", "ada", "--file", "-", input=DATA)
    run = json.loads(command("payouts", "run", "acme", "--method", "manual", "--json").stdout)
    asked = ("payouts", "export", "acme", str(run["run_id"]), "--format", "pain.001")
    early = command(*asked, "--out", str(tmp_path / "early.xml"))
    assert early.exit_code == 1
    assert "no_debtor_account" in early.output
    assert not (tmp_path / "early.xml").exists()
    own = DATA.replace("Ada", "Shop")
    told = command(
        "merchants", "bank", "set", "acme", "--currency", "EUR", "--file", "-", input=own
    )
    assert told.exit_code == 0, told.output
    shown = command("merchants", "bank", "show", "acme", "--json")
    assert json.loads(shown.stdout)[0]["account"] == "DE89 … 3000"
    wrong = own.replace("DE89", "DE88")
    refused = command(
        "merchants", "bank", "set", "acme", "--currency", "eur", "--file", "-", input=wrong
    )
    assert refused.exit_code == 1
    tried = command(*asked, "--dry-run", "--json")
    assert json.loads(tried.stdout)["totals"] == {"eur": {"payouts": 1, "amount": 1_005}}
    assert scalar(engine, "SELECT state FROM payouts") == "approved"
    assert command(*asked).exit_code == 1, "it needs --out"
    out = tmp_path / "june.xml"
    exported = command(*asked, "--out", str(out))
    assert exported.exit_code == 0, exported.output
    assert b"pain.001.001.09" in out.read_bytes()
    assert out.stat().st_mode & 0o077 == 0
    assert scalar(engine, "SELECT state FROM payouts") == "in_transit"
    for said in (early, told, shown, refused, tried, exported):
        assert "DE893704" not in said.output.replace(" ", "")
    assert_whole(engine)


def test_a_statement_is_read_and_its_rest_is_named(
    command: Command, engine: Engine, tmp_path: Path
) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
        earn(tx, acme, 1_005)
    command("payees", "recipient", "acme", "ada", "--file", "-", input=DATA)
    made = json.loads(command("payouts", "run", "acme", "--method", "manual", "--json").stdout)
    out = tmp_path / "june.csv"
    command("payouts", "export", "acme", str(made["run_id"]), "--out", str(out))
    name = out.read_text().splitlines()[1].split(",")[0]
    statement = tmp_path / "bank.csv"
    statement.write_text(
        f"Zweck;Betrag;Tag\n{name};-10,05;05.06.2026\nRent;-9,00;05.06.2026\n{name};-1,00;05.06.2026\n"
    )
    asked = ("payouts", "import-statement", "acme", str(statement), "--delimiter", ";", "--decimal", ",",
             "--currency", "usd", "--column", "reference=Zweck", "--column", "amount=Betrag",
             "--column", "booked_on=Tag")  # fmt: skip
    tried = command(*asked, "--dry-run")
    assert "Nothing was changed" in tried.output
    assert scalar(engine, "SELECT state FROM payouts") == "in_transit"
    read = command(*asked)
    assert read.exit_code == 1, "one line was refused"
    assert "1 payout paid" in read.output
    assert "1 amount_mismatch" in read.output
    assert scalar(engine, "SELECT state FROM payouts") == "paid"
    told = json.loads(command(*asked, "--json").stdout)
    assert (told["paid"], told["seen"], told["not_ours"]) == (0, 1, 1)
    assert told["rejected"] == {"amount_mismatch": 1}
    assert Path(told["rejects"]).read_text().count("\n") == 2
    for wrong in (("--column", "x"), ("--rejects", str(statement)), ("--format", "mt940")):
        assert command(*asked, *wrong).exit_code == 1, wrong
    assert command("payouts", "import-statement", "acme", str(tmp_path / "none")).exit_code == 1
    assert_whole(engine)


@pytest.mark.parametrize("named", [None, "left.csv"])
def test_a_dry_run_leaves_what_a_reading_has_refused_as_it_is(
    command: Command, engine: Engine, tmp_path: Path, named: str | None
) -> None:
    with transaction(engine) as tx:
        merchant(tx)
        installation = installation_code(tx)
    statement = tmp_path / "bank.csv"
    line = f"reference,amount,currency,booked_on\nPS-{installation}-{{}}-1,-1.00,EUR,2026-06-05\n"
    asked: tuple[str, ...] = ("payouts", "import-statement", "acme", str(statement), "--json")
    if named is not None:
        asked = (*asked, "--rejects", str(tmp_path / named))
    statement.write_text(line.format(7))
    told = json.loads(command(*asked).stdout)
    assert sum(told["rejected"].values()) == 1
    kept = Path(told["rejects"])
    before = kept.read_bytes()
    statement.write_text(line.format(8))
    tried = json.loads(command(*asked, "--dry-run").stdout)
    assert sum(tried["rejected"].values()) == 1
    assert kept.read_bytes() == before
    own = Path(tried["rejects"])
    assert own.name == f"{kept.stem}.dry-run.csv"
    assert (b"-8-1" in own.read_bytes(), b"-7-1" in own.read_bytes()) == (True, False)
    statement.write_text(line.format(9))
    assert json.loads(command(*asked).stdout)["rejects"] == str(kept), "a reading replaces it"
    assert b"-9-1" in kept.read_bytes()
    assert b"-8-1" in own.read_bytes()


def test_what_was_paid_outside_takes_two_people(
    command: Command,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    redis_url: str,
    namespace: str,
) -> None:
    payout = str(one_payout(engine))
    asked = ("payouts", "mark-paid-outside", "acme", payout)
    monkeypatch.setenv("USER", "ann")
    assert command(*asked).exit_code == 1
    assert command(*asked, "--reference", "TR-5").exit_code == 1
    proposed = command(*asked, "--reference", "TR-5", "--evidence", "statement of 5 June")
    assert proposed.exit_code == 0, proposed.output
    assert "mark-paid-outside" in command("payouts", "explain", "acme", payout).output
    assert command(*asked).exit_code == 1
    assert command("payouts", "cancel", "acme", payout, "--reason", "x").exit_code == 1
    assert command(*asked, "--withdraw", "another payee").exit_code == 0
    command(*asked, "--reference", "TR-5", "--evidence", "statement of 5 June")
    monkeypatch.setenv("USER", "bob")
    assert json.loads(command(*asked, "--json").stdout)["did"] == "paid"
    assert scalar(engine, "SELECT state FROM payouts") == "paid"
    with connect(redis_url) as client:
        kept = Marks(client, namespace, KEPT_ATTEMPTS).read()
    assert kept is not None, "a database that forgot it would pay it"
    assert kept.attempts[-1] == scalar(engine, "SELECT max(id) FROM payout_attempts")
    assert_whole(engine)
