"""What people do about runs and payouts at the dashboard, in a real browser, and what the books say then."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from sqlalchemy import make_url, text

from domain.db import connect, transaction
from domain.payouts.store import policies
from tests.browser.conftest import Dashboard, Opener
from tests.browser.test_tasks import confirm
from tests.domain.payouts import house as payouts

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def gamma(dashboard: Dashboard) -> int:
    """A merchant of these tests alone, whose runs need no approval."""
    with transaction(dashboard.engine) as tx:
        return payouts.merchant(tx, "gamma")


def approved(dashboard: Dashboard, gamma: int, user: str) -> int:
    """An approved payout of 10.00 of somebody of their own."""
    with transaction(dashboard.engine) as tx:
        payouts.payee(tx, gamma, user, f"acct_{user}")
        payouts.earn(tx, gamma, 1_000, user)
    payouts.run(dashboard.engine, gamma, f"for {user}")
    found: int = dashboard.scalar("SELECT id FROM payouts WHERE user_id = :user", user=user)
    return found


def test_a_preview_says_whom_a_run_would_pay_whom_not_and_why_and_what_is_missing(
    dashboard: Dashboard, tab: Opener
) -> None:
    with transaction(dashboard.engine) as tx:
        delta = payouts.merchant(tx, "delta")
        payouts.payee(tx, delta)
        payouts.payee(tx, delta, "ben", account=None)
        payouts.earn(tx, delta, 1_234_56)
        payouts.earn(tx, delta, 500, "ben")
        policies.put(tx, delta, "always", 72, 0)
    page = tab("oscar").open("/m/delta/runs")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("status").last).to_contain_text("1 would be paid (1,234.56 USD")
    expect(page.get_by_role("heading", name=re.compile("Not paid"))).to_contain_text("(1)")
    funds = page.get_by_role("table", name="Money for it")
    expect(funds).to_contain_text("1,234.56 USD")
    expect(funds).to_contain_text("the gateway did not tell its balance")
    assert dashboard.scalar("SELECT count(*) FROM payout_runs WHERE merchant_id = :m", m=delta) == 0
    page.get_by_role("button", name="Start a run…").click()
    expect(page.locator(".ask")).to_contain_text("Another person has to approve it")
    confirm(page, "Start the run")
    expect(page.get_by_role("table", name="Payout runs")).to_contain_text("building")
    started = "SELECT prepared_by FROM payout_runs WHERE merchant_id = :m"
    assert dashboard.scalar(started, m=delta) == "oscar"
    asked = "SELECT count(*) FROM outbox WHERE actor = 'payouts.finish_run' AND merchant_id = :m"
    assert dashboard.scalar(asked, m=delta) == 1


def test_a_payout_that_was_paid_outside_takes_two_people(
    dashboard: Dashboard, tab: Opener, gamma: int
) -> None:
    payout = approved(dashboard, gamma, "outa")
    page = tab("oscar").open(f"/m/gamma/payouts/{payout}")
    page.get_by_role("button", name="Paid outside…").click()
    page.locator(".ask textarea").fill("the bank's page of 5 June")
    confirm(page, "Say it")
    expect(page.get_by_text("Fill in both first.")).to_be_visible()
    page.get_by_label("What the payment is called there").fill("TR-5")
    confirm(page, "Say it")
    expect(page.locator("#content")).to_contain_text("by oscar, as TR-5")
    assert page.get_by_role("button", name="Cancel…").count() == 0
    page = tab("anna").open(f"/m/gamma/payouts/{payout}")
    page.get_by_role("button", name="Agree that it was paid…").click()
    expect(page.locator(".ask")).to_contain_text("oscar says so, as TR-5")
    confirm(page, "Agree")
    expect(page.locator("#content")).to_contain_text("Nothing is to be done")
    paid = "SELECT state || ' ' || external_transaction_id FROM payouts WHERE id = :id"
    assert dashboard.scalar(paid, id=payout) == "paid TR-5"


def test_a_part_of_what_was_paid_is_asked_back_once(
    dashboard: Dashboard, tab: Opener, gamma: int
) -> None:
    payout = approved(dashboard, gamma, "reva")
    done = payouts.GatewayOutcome("response", http_status=200, external_id="tr_reva")
    payouts.record(dashboard.engine, payouts.begin(dashboard.engine, payout), done)
    page = tab("oscar").open(f"/m/gamma/payouts/{payout}")
    assert page.get_by_role("button", name="Reverse…").count() == 0
    page = tab("anna").open(f"/m/gamma/payouts/{payout}")
    page.get_by_role("button", name="Reverse…").click()
    expect(page.locator(".ask")).to_contain_text("10.00 USD of it can be taken back")
    page.get_by_label(re.compile("How much in USD")).fill("300")
    confirm(page, "Take it back", "paid twice by the shop")
    expect(page.get_by_role("table", name="Requests to take it back")).to_contain_text("3.00 USD")
    expect(page.get_by_role("button", name="Reverse…")).to_have_count(0)
    asked = "SELECT asked_by || ' ' || amount || ' ' || state FROM reversal_requests WHERE payout_id = :id"
    assert dashboard.scalar(asked, id=payout) == "anna 300 created"


def test_an_unknown_outcome_is_given_up_only_once_the_gateway_has_forgotten_it(
    dashboard: Dashboard, tab: Opener, gamma: int
) -> None:
    payout = approved(dashboard, gamma, "unka")
    attempt = payouts.begin(dashboard.engine, payout)
    payouts.record(dashboard.engine, attempt, payouts.SILENCE)
    page = tab("oscar").open(f"/m/gamma/payouts/{payout}")
    expect(page.locator(".why")).to_contain_text("it may have been paid")
    expect(page.locator(".why")).to_contain_text("Wait: the gateway is asked again")
    assert page.locator("#content .row button").count() == 0, "to wait is the only safe step"
    url = make_url(dashboard.engine.url).set(username="payspool_owner")
    owner = connect(url.render_as_string(hide_password=False))
    payouts.age(owner, attempt.attempt_id, 24)
    owner.dispose()
    page = tab("oscar").open(f"/m/gamma/payouts/{payout}")
    page.get_by_role("button", name="Give up…").click()
    confirm(page, "Propose it", "no transfer at the gateway")
    expect(page.locator(".why")).to_contain_text("oscar proposed to give the attempt up")
    page = tab("anna").open(f"/m/gamma/payouts/{payout}")
    page.get_by_role("button", name="Agree to give up…").click()
    confirm(page, "Agree")
    expect(page.get_by_role("button", name="Retry…")).to_be_visible()
    state = "SELECT state FROM payout_attempts WHERE payout_id = :id"
    assert dashboard.scalar(state, id=payout) == "abandoned"
    with transaction(dashboard.engine) as tx:
        people = tx.execute(
            text(
                "SELECT actor_id FROM audit_entries WHERE subject_kind = 'payout' AND subject_id = :id"
                " ORDER BY id"
            ),
            {"id": str(payout)},
        ).scalars()
        assert list(people) == ["oscar", "anna"]
