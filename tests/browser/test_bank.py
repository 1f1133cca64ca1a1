"""Bank files and statements at the dashboard, in a real browser, and what the books say then."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from domain.db import transaction
from domain.payouts import service
from domain.payouts.rules.recipients import parse_recipient
from domain.secrets import SecretBox
from tests.browser import house
from tests.browser.conftest import Dashboard, Opener
from tests.browser.test_pages import serious
from tests.browser.test_tasks import confirm
from tests.domain.payouts import house as payouts
from tests.domain.payouts.test_bank_files import IBAN, bank

pytestmark = pytest.mark.xdist_group("browser")

REFERENCE = (
    "SELECT a.params ->> 'end_to_end_id' FROM payout_attempts a JOIN payouts p ON p.id = a.payout_id"
    " WHERE p.run_id = :run"
)
STATE = "SELECT state FROM payouts WHERE run_id = :run"
DONE = "SELECT count(*) FROM audit_entries WHERE action = :action AND actor_id = :who AND merchant_id = :m"


def manual_run(dashboard: Dashboard, key: str) -> tuple[int, int]:
    """A merchant and an approved run of it that pays one person 10.05 USD by bank file."""
    with transaction(dashboard.engine) as tx:
        merchant = payouts.merchant(tx, key)
        service.set_recipient(
            tx,
            merchant,
            "ada",
            parse_recipient(bank()),
            at=payouts.JUNE,
            box=SecretBox([house.KEY]),
            actor=house.TESTER,
        )
        payouts.earn(tx, merchant, 1_005)
    return merchant, payouts.run(dashboard.engine, merchant, methods=("manual",)).run_id


def upload(page: Page, folder: Path, *lines: str) -> None:
    """Choose a statement of these lines."""
    file = folder / "june.csv"
    file.write_text(
        "\n".join(("reference,amount,currency,booked_on,bank_reference", *lines)) + "\n"
    )
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("june.csv, ")).to_be_visible()


def test_a_run_by_bank_is_exported_once_and_the_same_file_is_given_again(
    dashboard: Dashboard, tab: Opener
) -> None:
    merchant, run = manual_run(dashboard, "filer")
    page = tab("oscar").open(f"/m/filer/runs/{run}")
    expect(page.locator("#content")).to_contain_text("1 payout of 10.05 USD to go into a bank file")
    files = []
    for asks in ("It pays 1 payout, 10.05 USD", "oscar exported it before"):
        page.get_by_role("button", name="Write a bank file…").click()
        expect(page.locator(".ask")).to_contain_text(asks)
        expect(page.locator(".ask")).to_contain_text("It holds whole account numbers")
        if not files:
            page.wait_for_timeout(400)
            assert serious(page, "color-contrast") == []
            assert dashboard.scalar(STATE, run=run) == "approved", "to look changes nothing"
        with page.expect_download() as got:
            confirm(page, "Write the file")
        files.append(Path(got.value.path()).read_text())
        expect(page.get_by_role("table", name="Bank files")).to_contain_text("csv")
    assert files[0] == files[1]
    assert f"10.05,USD,'=Ann & Søn,{IBAN}" in files[0]
    assert IBAN not in page.content(), "the page shows no account number"
    assert dashboard.scalar(STATE, run=run) == "in_transit"
    for action in ("bank_file.exported", "bank_file.given_again"):
        assert dashboard.scalar(DONE, action=action, who="oscar", m=merchant) == 1
    page = tab("vera").open(f"/m/filer/runs/{run}")
    assert page.get_by_role("button", name="Write a bank file…").count() == 0


def test_a_statement_is_previewed_then_imported_by_an_approver(
    dashboard: Dashboard, tab: Opener, tmp_path: Path
) -> None:
    merchant, run = manual_run(dashboard, "reader")
    with transaction(dashboard.engine) as tx:
        service.export(tx, merchant, run, box=SecretBox([house.KEY]), actor=house.TESTER)
    name = dashboard.scalar(REFERENCE, run=run)
    lines = (f"{name},-10.05,USD,2026-06-05,BANK-77", f"{name},-9.00,USD,2026-06-05,BANK-78")
    page = tab("oscar").open("/m/reader/bank")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Choose the bank's file first.")).to_be_visible()
    upload(page, tmp_path, *lines)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("status").last).to_contain_text(
        "june.csv, read as csv: 2 of its entries"
    )
    expect(page.locator(".figures")).to_contain_text("1payouts would be paid")
    expect(page.get_by_role("table", name="Refused")).to_contain_text("9.00 USD")
    assert serious(page) == []
    assert page.get_by_role("button", name="Import it…").count() == 0, "an operator only looks"
    assert dashboard.scalar(STATE, run=run) == "in_transit"
    page = tab("anna").open("/m/reader/bank")
    upload(page, tmp_path, *lines)
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Import it…").click()
    expect(page.locator(".ask")).to_contain_text("1 payout to be paid.")
    confirm(page, "Import it")
    expect(page.get_by_role("table", name="Statements")).to_contain_text("anna")
    assert dashboard.scalar(STATE, run=run) == "paid"
    assert dashboard.scalar(DONE, action="bank_statement.imported", who="anna", m=merchant) == 1
    assert dashboard.scalar(DONE, action="bank_statement.imported", who="oscar", m=merchant) == 0
    page = tab("vera").open("/m/reader/bank")
    assert page.locator("input[type=file]").count() == 0


def test_a_statement_that_cannot_be_read_says_so_and_nobody_uploads_without_signing_in(
    dashboard: Dashboard, tab: Opener, tmp_path: Path
) -> None:
    page = tab("oscar").open("/m/acme/bank")
    file = tmp_path / "broken.xml"
    file.write_text("<Document><cut off")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file…").click()
    chooser.value.set_files(file)
    expect(page.get_by_text("broken.xml, ")).to_be_visible()
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".q-notification")).to_contain_text("FILE")
    page.locator(".q-notification").get_by_role("button", name="Close").click()
    # The address that the browser uploads to, by somebody else.
    client, element = page.evaluate(
        "[window.clientId, Number(document.querySelector('.unseen').id.slice(1))]"
    )
    answer = httpx.post(
        f"{dashboard.url}/_nicegui/client/{client}/upload/{element}",
        files={"file": b"x"},
        headers={"Origin": dashboard.url},
    )
    assert answer.status_code == 401
