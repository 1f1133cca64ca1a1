"""What was not delivered is found, understood and sent again by an operator, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from domain.db import transaction
from domain.secrets import SecretBox
from domain.webhooks import deliveries
from tests.browser import house
from tests.browser.conftest import Dashboard, Opener
from tests.browser.test_pages import serious
from tests.browser.test_tasks import confirm
from tests.domain.payouts import house as payouts

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


AUDITED = (
    "SELECT string_agg(action || ' ' || actor_id, ', ' ORDER BY id) FROM audit_entries"
    " WHERE action LIKE 'webhook_endpoint.%' AND merchant_id = :m"
)


def secret_shown(page: Page) -> str:
    """The secret of a dialog that a stray click or Escape does not close, and that is gone once it is closed."""
    dialog = page.locator(".q-dialog .ask")
    expect(dialog).to_contain_text("It is not shown again.")
    assert serious(page, "color-contrast") == []
    page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    shown = dialog.locator("pre").inner_text()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text(shown)).to_have_count(0)
    return shown


def signs(dashboard: Dashboard, merchant: int, endpoint: int) -> tuple[str, ...]:
    """By what the next delivery to an endpoint is signed."""
    with transaction(dashboard.engine) as tx:
        deliveries.test(tx, merchant, endpoint, actor=house.TESTER)
        parcel = deliveries.claim(tx, endpoint, box=SecretBox([house.KEY]))
    assert parcel is not None
    return parcel.secrets


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_an_endpoint_is_added_changed_given_another_secret_and_removed_by_an_approver(
    dashboard: Dashboard, tab: Opener, width: int, scheme: str
) -> None:
    key, url = f"hooks-{width}", "http://127.0.0.1:9/hooks"
    with transaction(dashboard.engine) as tx:
        merchant = payouts.merchant(tx, key)
    shown = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    page = tab("oscar", **shown).open(f"/m/{key}/webhook-endpoint")
    expect(page.locator("#content")).to_contain_text("Approvers add endpoints")
    page = tab("anna", **shown).open(f"/m/{key}/webhooks")
    page.get_by_role("link", name="Add an endpoint").click()
    add = page.get_by_role("button", name="Add the endpoint…")
    add.click()
    expect(page.locator(".q-field", has_text="Address")).to_contain_text("is needed")
    page.get_by_label("Address").fill("https://10.0.0.1/hooks")
    add.click()
    confirm(page, "Add it")
    expect(page.locator(".q-field", has_text="Address")).to_contain_text("no public address")
    page.get_by_label("Address").fill(url)
    add.click()
    confirm(page, "Add it")
    expect(page.locator(".q-notification")).to_contain_text("name at least one")
    page.locator(".q-notification").get_by_role("button").click()
    page.get_by_label("What it is for").fill(house.EVIL)
    for name in ("payout.paid", "points.expiring"):
        page.get_by_role("checkbox", name=name).click()
    add.dblclick()
    page.locator(".q-dialog .ask").get_by_role("button", name="Add it").dblclick()
    first = secret_shown(page)
    page.wait_for_url(f"**/m/{key}/webhooks")
    expect(page.locator("#content")).to_contain_text("payout.paid, points.expiring")
    expect(page.locator("#content")).to_contain_text(house.EVIL)
    of = "SELECT {} FROM webhook_endpoints WHERE merchant_id = :m"
    assert dashboard.scalar(of.format("count(*)"), m=merchant) == 1, "two clicks add one"
    endpoint = dashboard.scalar(of.format("id"), m=merchant)
    assert signs(dashboard, merchant, endpoint) == (first,)
    page.get_by_role("link", name=f"Change endpoint {endpoint}").click()
    page.get_by_role("checkbox", name="payout.failed").click()
    page.get_by_role("checkbox", name="points.expiring").click()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**/m/{key}/webhooks")
    expect(page.locator("#content")).to_contain_text("payout.paid, payout.failed")
    roll = page.get_by_role("button", name=f"New secret for endpoint {endpoint}…")
    roll.click()
    page.locator(".ask").get_by_label("Hours that the old one signs too").fill("9999")
    confirm(page, "Replace it")
    expect(page.locator(".q-notification")).to_contain_text("0 to 168")
    page.locator(".q-notification").get_by_role("button").click()
    roll.dblclick()
    page.locator(".ask").get_by_label("Hours that the old one signs too").fill("24")
    page.locator(".ask").get_by_role("button", name="Replace it").dblclick()
    second = secret_shown(page)
    assert signs(dashboard, merchant, endpoint) == (second, first), "two clicks replace it once"
    expect(page.locator("#content")).to_contain_text("Old secret until")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious(page) == []
    page.get_by_role("button", name=f"Remove endpoint {endpoint}…").click()
    expect(page.locator(".ask")).to_contain_text(url)
    confirm(page, "Remove it")
    expect(page.locator("#content")).to_contain_text("Nobody is told of anything yet.")
    assert dashboard.scalar(of.format("state"), m=merchant) == "removed"
    assert dashboard.scalar(AUDITED, m=merchant) == ", ".join(
        f"webhook_endpoint.{done}"
        for done in (
            "added anna, webhook_endpoint.tested tester, webhook_endpoint.changed anna",
            "secret_rolled anna, webhook_endpoint.tested tester, webhook_endpoint.removed anna",
        )
    )
    said = dashboard.scalar(
        "SELECT string_agg(concat(before, after, reason), '') FROM audit_entries WHERE merchant_id = :m",
        m=merchant,
    )
    assert "whsec_" not in said
