"""What people decide of what was too fast, in a real browser, and what is on the card afterwards."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from domain.audit.service import Actor
from domain.db import transaction
from domain.loyalty import service as loyalty
from domain.loyalty.service import velocity_desk as desk
from tests.browser.conftest import Dashboard, Opener
from tests.browser.test_pages import serious
from tests.browser.test_tasks import confirm
from tests.domain.inbox import shop

pytestmark = pytest.mark.xdist_group("browser")


def fast(dashboard: Dashboard, merchant: str, then: str) -> tuple[int, int]:
    """A card with an earn of ten points and two more that were too fast; their cases."""
    with transaction(dashboard.engine) as tx:
        made = shop.merchant(tx, merchant)
        loyalty.create_program(tx, made, "p", name="P", currency="eur", backdating_days=3650)
        limit = {"per": "pin", "what": "earn", "minutes": 60, "count": 1, "then": then}
        desk.set_policy(tx, made, None, [limit], actor=Actor("person", "tester"))
    card = {"card": "C1", "customer_id": "ada"}
    shop.send(dashboard.engine, shop.event("loyalty.card_created", "c", to=merchant, **card))
    for n in range(3):
        earn = {"card": "C1", "points": 10, "staff_pin_id": "ann"}
        sent = shop.event("loyalty.points_earned", f"e{n}", to=merchant, **earn)
        shop.send(dashboard.engine, sent)
    with transaction(dashboard.engine) as tx:
        second, first = desk.cases(tx, made, limit=10)
    return first.id, second.id


BALANCE = """
    SELECT points_balance FROM cards c JOIN merchants m ON m.id = c.merchant_id WHERE m.key = :key
"""


@pytest.mark.parametrize(("width", "then"), [(1280, "hold"), (400, "flag")])
def test_one_case_is_released_and_another_rejected_with_reasons(
    dashboard: Dashboard, tab: Opener, width: int, then: str
) -> None:
    key = f"fast-{then}"
    tour, fraud = fast(dashboard, key, then)
    assert dashboard.scalar(BALANCE, key=key) == (10 if then == "hold" else 30)
    view = {"width": width, "height": 900}
    page = tab("oscar", viewport=view).open("/")
    expect(page.locator(".figure", has_text="too fast")).to_contain_text("2")
    page = tab("oscar", viewport=view).open(f"/m/{key}/velocity")
    expect(page.get_by_text("2 acts of the pin in 60 minutes").first).to_be_visible()
    assert (
        page.get_by_role("button", name="Release").count() == 0
    )  # it lets points go: an approver's
    page = tab("anna", viewport=view).open(f"/m/{key}/velocity")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name=f"Release {tour}…").click()
    expect(page.locator(".ask")).to_contain_text("Points earned on card C1: 10 points.")
    confirm(page, "Release", "a bus tour")
    expect(page.get_by_text(f"Released case {tour}: its event is applied.")).to_be_visible()
    expect(page.get_by_role("button", name=f"Release {tour}…")).to_have_count(0)
    page.get_by_role("button", name=f"Reject {fraud}…").click()
    confirm(page, "Reject", "stamped himself")
    expect(page.get_by_text("Nothing was too fast.")).to_be_visible()
    assert dashboard.scalar(BALANCE, key=key) == 20
    audited = """
        SELECT array_agg(action || ' ' || actor_id || ': ' || reason ORDER BY id) FROM audit_entries
        WHERE subject_kind = 'velocity_case' AND subject_id IN (:tour, :fraud)
    """
    assert dashboard.scalar(audited, tour=str(tour), fraud=str(fraud)) == [
        "velocity.released anna: a bus tour",
        "velocity.rejected anna: stamped himself",
    ]
    page = tab("vera", viewport=view).open(f"/m/{key}/velocity?state=ended")
    expect(page.get_by_role("table", name="Velocity cases")).to_contain_text("stamped himself")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_overview_leads_to_the_cases_of_a_merchant(dashboard: Dashboard, tab: Opener) -> None:
    fast(dashboard, "fast-found", "hold")
    page = tab("vera").open("/search?find=velocity")
    page.get_by_role("link", name="fast-found").last.click()
    page.wait_for_url("**/m/fast-found/velocity")
    expect(page.locator("section h2")).to_have_count(2)
