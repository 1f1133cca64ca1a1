"""What people decide of what may be fraud, in a real browser, and what may be paid afterwards."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser import house
from tests.browser.conftest import Dashboard, Opener
from tests.browser.test_tasks import confirm

pytestmark = pytest.mark.xdist_group("browser")

EARNED = """
    SELECT string_agg(CASE WHEN e.voided_at IS NOT NULL THEN 'void' WHEN e.held_at IS NOT NULL THEN 'held'
                      ELSE 'payable' END, ', ')
    FROM tracking_holds h JOIN earnings e ON e.source_kind = 'tracking' AND e.source_id = h.tracking_id
    WHERE h.id = :id
"""


def test_one_hold_is_released_and_another_rejected_with_reasons(
    dashboard: Dashboard, tab: Opener
) -> None:
    family, fraud = (house.suspect(dashboard.engine, order) for order in ("h-1", "h-2"))
    page = tab("oscar").open("/")
    expect(page.locator(".figure", has_text="held as possible fraud")).to_contain_text("2")
    page = tab("oscar").open("/m/acme/holds")
    expect(page.get_by_text("have one e-mail address").first).to_be_visible()
    assert page.get_by_role("button", name="Release").count() == 0  # lets money go: an approver's
    page = tab("anna").open("/m/acme/holds")
    page.get_by_role("button", name=f"Release {family}…").click()
    expect(page.locator(".ask")).to_contain_text("12.90 USD")
    confirm(page, "Release", "a family, asked both")
    expect(page.get_by_role("button", name=f"Release {family}…")).to_have_count(0)
    page.get_by_role("button", name=f"Reject {fraud}…").click()
    confirm(page, "Reject", "one person, two accounts")
    expect(page.get_by_text("Nothing is held.")).to_be_visible()
    assert dashboard.scalar(EARNED, id=family) == "payable"
    assert dashboard.scalar(EARNED, id=fraud) == "void"
    audited = "SELECT array_agg(action || ' ' || actor_id || ': ' || reason ORDER BY id) FROM audit_entries WHERE subject_kind = 'hold'"
    assert dashboard.scalar(audited) == [
        "hold.released anna: a family, asked both",
        "hold.rejected anna: one person, two accounts",
    ]
    page = tab("vera").open("/m/acme/holds?state=ended")
    expect(page.get_by_role("table", name="Holds")).to_contain_text("one person, two accounts")
