"""What was not delivered is found, understood and sent again by an operator, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from sqlalchemy import text

from tests.browser import house
from tests.browser.conftest import Dashboard, Opener
from tests.browser.test_tasks import confirm

pytestmark = pytest.mark.xdist_group("browser")

STATE = "SELECT state FROM webhook_deliveries WHERE id = :id"


def test_a_failed_delivery_is_found_read_and_sent_again(dashboard: Dashboard, tab: Opener) -> None:
    failed = house.undelivered(dashboard.engine, dashboard.seeded.acme)
    page = tab("vera").open("/m/acme/webhooks?state=failed")
    page.get_by_role("table", name="Deliveries").get_by_role("link", name=str(failed)).click()
    expect(page.get_by_role("table", name="Attempts")).to_contain_text("no answer within 10 s")
    expect(page.get_by_role("table", name="Attempts")).to_contain_text("onerror")
    expect(page.get_by_text("webhook.test").first).to_be_visible()
    assert page.get_by_role("button", name="Resend").count() == 0, "a viewer looks"
    page = tab("oscar").open(f"/m/acme/webhooks/{failed}")
    page.get_by_role("button", name="Resend…").click()
    expect(page.locator(".ask")).to_contain_text("https://shop.example.com/hooks")
    confirm(page, "Send again")
    expect(page.get_by_role("button", name="Resend…")).to_have_count(0)
    assert dashboard.scalar(STATE, id=failed) == "pending"
    audited = (
        "SELECT actor_id FROM audit_entries WHERE action = 'webhook_delivery.resent'"
        " AND subject_id = :id"
    )
    assert dashboard.scalar(audited, id=str(failed)) == "oscar"


def test_what_failed_at_an_endpoint_is_sent_again_since_a_day(
    dashboard: Dashboard, tab: Opener
) -> None:
    failed = house.undelivered(dashboard.engine, dashboard.seeded.acme)
    endpoint = dashboard.scalar(
        "SELECT endpoint_id FROM webhook_deliveries WHERE id = :id", id=failed
    )
    page = tab("oscar").open(f"/m/acme/webhooks?endpoint={endpoint}")
    page.get_by_role("button", name=f"Resend what endpoint {endpoint} failed to take…").click()
    page.locator(".ask").get_by_label("Since").fill("2026-01-01")
    page.locator(".ask").get_by_role("button", name="Send again").click()
    expect(page.get_by_text("Sent again: 1.")).to_be_visible()
    expect(page.get_by_role("table", name="Deliveries")).to_contain_text("pending")
    assert dashboard.scalar(STATE, id=failed) == "pending"


def test_an_endpoint_that_was_given_up_is_among_what_needs_a_person_until_it_is_enabled(
    dashboard: Dashboard, tab: Opener
) -> None:
    failed = house.undelivered(dashboard.engine, dashboard.seeded.acme)
    with dashboard.engine.begin() as tx:
        endpoint = tx.execute(
            text(
                "UPDATE webhook_endpoints SET state = 'disabled', disabled_at = now(), disabled_by = 'courier',"
                " disabled_reason = 'It answered 410 Gone: the receiver wants no more.'"
                " WHERE id = (SELECT endpoint_id FROM webhook_deliveries WHERE id = :id) RETURNING id"
            ),
            {"id": failed},
        ).scalar_one()
    page = tab("oscar").open("/")
    expect(page.locator(".figure", has_text="webhook endpoints given up")).to_contain_text("1")
    page = tab("oscar").open("/m/acme/webhooks")
    expect(page.get_by_text("by courier: It answered 410 Gone")).to_be_visible()
    page.get_by_role("button", name=f"Enable endpoint {endpoint}…").click()
    confirm(page, "Enable")
    expect(page.get_by_role("button", name=f"Disable endpoint {endpoint}…")).to_be_visible()
    page.get_by_role("button", name=f"Disable endpoint {endpoint}…").click()
    confirm(page, "Disable", "moving to another host")
    expect(page.get_by_text("by oscar: moving to another host")).to_be_visible()
