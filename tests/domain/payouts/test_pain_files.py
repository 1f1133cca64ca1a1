"""pain.001 files: the same guarantee as CSV, and what does not fit is left whole."""

import json
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import transaction, trial
from domain.errors import Invalid
from domain.payouts import service
from domain.payouts.errors import NotExportable
from domain.payouts.rules.recipients import parse_recipient
from domain.payouts.rules.target import closed
from domain.payouts.service import debtors
from domain.payouts.service.bank_files import BankFile
from domain.payouts.service.recipients import reseal
from domain.secrets import SecretBox, new_key
from tests.domain.payouts.house import (
    JUNE,
    assert_whole,
    earn,
    execute,
    merchant,
    rows,
    run,
    scalar,
)

ANN = Actor("command", "ann")
KEY = new_key()
BOX = SecretBox([KEY])
IBAN = "DE89370400440532013000"
SHOP = parse_recipient(
    json.dumps({"type": "iban", "name": "Shop", "iban": "GB82WEST12345698765432"})
)
ACH = {
    "type": "us_ach",
    "name": "Al",
    "routing_number": "021000021",
    "account_number": "12345678",
}


def iban(name: str = "Ada") -> dict[str, str]:
    return {"type": "iban", "name": name, "iban": IBAN}


def mixed_run(engine: Engine, *, debtor: bool = True) -> tuple[int, int]:
    """Ada by IBAN in euro, Al by ACH in dollars: merchant and run."""
    with transaction(engine) as tx:
        acme = merchant(tx)
        for user, data, currency in (("ada", iban(), "eur"), ("al", ACH, "usd")):
            given = parse_recipient(json.dumps(data))
            service.set_recipient(tx, acme, user, given, at=JUNE, box=BOX, actor=ANN)
            earn(tx, acme, 1_005, user, currency=currency)
        if debtor:
            debtors.set_debtor(tx, acme, "eur", SHOP, box=BOX, actor=ANN)
    return acme, run(engine, acme, methods=("manual",)).run_id


def export(engine: Engine, acme: int, run_id: int, format: str = "pain.001") -> BankFile:
    with transaction(engine) as tx:
        return service.export(tx, acme, run_id, box=BOX, actor=ANN, format=format)


def states(engine: Engine) -> list[tuple[str, str]]:
    return [(a, b) for a, b in rows(engine, "SELECT user_id, state FROM payouts ORDER BY user_id")]


def test_what_a_format_does_not_carry_waits_for_the_other_and_nobody_is_in_both(
    engine: Engine,
) -> None:
    acme, run_id = mixed_run(engine)
    first = export(engine, acme, run_id)
    assert first.totals == {"eur": {"payouts": 1, "amount": 1_005}}
    assert [why.partition(":")[0] for _, why in first.left] == ["needs_csv"]
    assert states(engine) == [("ada", "in_transit"), ("al", "approved")]
    again = export(engine, acme, run_id)
    assert (again.content, again.again, again.left) == (first.content, True, first.left)
    other = export(engine, acme, run_id, "csv")
    assert b"10.05,USD,Al" in other.content
    assert IBAN.encode() not in other.content
    assert export(engine, acme, run_id).content == first.content
    assert export(engine, acme, run_id, "csv").content == other.content
    assert scalar(engine, "SELECT count(*) FROM payout_attempts") == 2
    assert_whole(engine)


def test_what_is_in_a_file_of_one_format_is_never_written_in_another(engine: Engine) -> None:
    acme, run_id = mixed_run(engine)
    export(engine, acme, run_id, "csv")
    with pytest.raises(NotExportable, match="--format csv"):
        export(engine, acme, run_id)
    assert scalar(engine, "SELECT count(*) FROM bank_files") == 1


def test_without_an_account_to_pay_from_nothing_is_written_and_nothing_changes(
    engine: Engine,
) -> None:
    acme, run_id = mixed_run(engine, debtor=False)
    made = export(engine, acme, run_id)
    assert (made.file_id, len(made.left)) == (None, 2)
    assert made.left[0][1].startswith("no_debtor_account")
    assert states(engine) == [("ada", "approved"), ("al", "approved")]
    assert_whole(engine)


def test_a_dry_run_says_the_same_and_changes_nothing(engine: Engine) -> None:
    acme, run_id = mixed_run(engine)
    with trial(engine) as tx:
        tried = service.export(tx, acme, run_id, box=BOX, actor=ANN, format="pain.001")
    assert states(engine) == [("ada", "approved"), ("al", "approved")]
    assert scalar(engine, "SELECT count(*) FROM payout_attempts") == 0
    made = export(engine, acme, run_id)
    assert (made.totals, made.left) == (tried.totals, tried.left)


def test_the_date_is_one_on_which_banks_settle(engine: Engine) -> None:
    acme, run_id = mixed_run(engine)
    today = scalar(engine, "SELECT current_date")
    closing = next(d for d in (today + timedelta(n) for n in range(9)) if closed(d))
    for wrong in (today - timedelta(1), closing, today + timedelta(400)):
        with pytest.raises(Invalid, match="--execute-on"), transaction(engine) as tx:
            service.export(tx, acme, run_id, box=BOX, actor=ANN, format="pain.001", on=wrong)
    with pytest.raises(Invalid, match="goes with"), transaction(engine) as tx:
        service.export(tx, acme, run_id, box=BOX, actor=ANN, on=date(2026, 6, 5))
    assert states(engine)[0] == ("ada", "approved")
    good = next(d for d in (today + timedelta(n) for n in range(2, 12)) if not closed(d))
    with transaction(engine) as tx:
        made = service.export(tx, acme, run_id, box=BOX, actor=ANN, format="pain.001", on=good)
    assert f"<ReqdExctnDt><Dt>{good}</Dt>".encode() in made.content


def test_an_account_of_ours_is_never_stored_in_clear_and_outlives_its_key(engine: Engine) -> None:
    acme, run_id = mixed_run(engine)
    with transaction(engine) as tx:
        assert not debtors.set_debtor(tx, acme, "eur", SHOP, box=BOX, actor=ANN), "it is the same"
    stored = str(rows(engine, "SELECT d::text FROM debtor_accounts d"))
    stored += str(rows(engine, "SELECT a::text FROM audit_entries a"))
    assert SHOP.account not in stored
    assert SHOP.account.encode().hex() not in stored
    assert "GB82 … 5432" in stored
    newest = new_key()
    with transaction(engine) as tx:
        assert reseal(tx, box=SecretBox([newest, KEY]), actor=ANN) == 3
    with transaction(engine) as tx:
        made = service.export(
            tx, acme, run_id, box=SecretBox([newest]), actor=ANN, format="pain.001"
        )
    assert SHOP.account.encode() in made.content
    assert scalar(engine, "SELECT count(*) FROM debtor_accounts") == 1


def test_an_account_of_ours_in_another_currency_than_it_carries_is_refused(engine: Engine) -> None:
    with transaction(engine) as tx:
        acme = merchant(tx)
    for currency, account in (("xxx1", SHOP), ("eur", parse_recipient(json.dumps(ACH)))):
        with pytest.raises(Invalid, match="--currency"), transaction(engine) as tx:
            debtors.set_debtor(tx, acme, currency, account, box=BOX, actor=ANN)


def test_a_changed_account_pays_later_files_and_is_in_the_audit_trail(engine: Engine) -> None:
    acme, run_id = mixed_run(engine)
    other = parse_recipient(json.dumps(iban("Shop")))
    with transaction(engine) as tx:
        assert debtors.set_debtor(tx, acme, "eur", other, box=BOX, actor=ANN)
    assert b"<DbtrAcct><Id><IBAN>DE89" in export(engine, acme, run_id).content
    [after] = rows(engine, "SELECT before->>'hint', after->>'hint' FROM audit_entries"
                           " WHERE action = 'debtor_account.set' ORDER BY id DESC LIMIT 1")  # fmt: skip
    assert after == ("GB82 … 5432", "DE89 … 3000")
    with pytest.raises(Exception, match="never changes"):
        execute(engine, "UPDATE debtor_accounts SET currency = 'usd'")
