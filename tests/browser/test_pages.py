"""Every page, in a real browser: it is drawn without a complaint, wide and narrow, light and dark, and those
who cannot see or use a mouse can use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import text

from domain.db import transaction
from domain.loyalty import service as loyalty
from domain.retention import service as retention
from domain.retention import store as retention_store
from domain.retention.rules import Retention
from tests.browser.conftest import Dashboard, Opener
from tests.domain.inbox import shop
from tests.domain.payouts import house
from workers.archiving import Archive

pytestmark = pytest.mark.xdist_group("browser")

PATHS = (
    "/",
    "/charts",
    "/queues",
    "/dead",
    "/dead?tab=unreadable",
    "/dead/1",
    "/schedules",
    "/audit",
    "/stops",
    "/users",
    "/search?q=nothing",
    "/m/acme/events",
    "/m/acme/events?status=rejected",
    "/m/acme/events/{applied}",
    "/m/acme/runs",
    "/m/acme/runs/{run}",
    "/m/acme/payouts?only=stopped+in+doubt",
    "/m/acme/payouts",
    "/m/beta/payouts/{paid}",
    "/m/acme/payees",
    "/m/acme/payees/ada",
    "/m/acme/bank",
    "/m/acme/referrals",
    "/m/acme/program",
    "/m/acme/program/refer",
    "/m/acme/loyalty-program",
    "/m/acme/loyalty-program/club",
    "/m/acme/holds",
    "/m/acme/holds?state=ended",
    "/m/acme/loyalty",
    "/m/acme/loyalty/4006381333931",
    "/m/acme/velocity",
    "/m/acme/velocity?state=ended",
    "/m/acme/ledger",
    "/m/acme/webhooks",
    "/m/acme/webhooks?state=failed",
    "/m/acme/webhooks/{delivery}",
    "/m/acme/webhook-endpoint",
    "/m/acme/webhook-endpoint/{endpoint}",
)


def paths(dashboard: Dashboard) -> list[str]:
    seeded = dashboard.seeded
    return [one.format(**vars(seeded)) for one in PATHS]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_each_page_is_drawn_without_a_complaint_and_can_be_used_by_everybody(
    dashboard: Dashboard, tab: Opener, width: int, scheme: str
) -> None:
    made = tab("adam", viewport={"width": width, "height": 900}, color_scheme=scheme)
    for at, path in enumerate(paths(dashboard)):
        page = made.open(path)
        assert page.locator("#content [role=alert]").count() == 0, path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert made.complaints == [], path
        if width == 1280 or at % 3 == 0:  # the same parts, in other colours
            assert serious(page) == [], path


def serious(page: Page, *without: str) -> list[tuple[str, list[str]]]:
    """What keeps people from using a page, by axe's rules but those ``without``."""
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical") and one["id"] not in without
    ]


def test_what_is_asked_before_something_is_done_can_be_used_by_everybody(tab: Opener) -> None:
    page = tab("adam").open("/queues")
    page.get_by_role("button", name="Pause events").click()
    page.locator(".q-dialog .ask textarea").fill("a test")
    page.wait_for_timeout(400)  # while it fades in, its colours are not its own
    # For the colour behind the button axe takes the veil over the page, which lies below the dialog.
    assert serious(page, "color-contrast") == []
    button = page.locator(".q-dialog").get_by_role("button", name="Pause events")
    assert button.evaluate(
        "b => [getComputedStyle(b).backgroundColor, getComputedStyle(b).color]"
    ) == [
        "rgb(163, 22, 33)",
        "rgb(255, 255, 255)",
    ], "white on dark red: 8 to 1"
    page.keyboard.press("Escape")
    page.wait_for_selector(".q-dialog .ask", state="detached")


def test_what_somebody_named_themselves_is_text(dashboard: Dashboard, tab: Opener) -> None:
    made = tab("vera")
    for path in (
        "/m/acme/referrals",
        "/dead",
        "/dead/1",
        f"/m/acme/events/{dashboard.seeded.applied}",
    ):
        page = made.open(path)
        assert page.get_by_text("onerror", exact=False).count() > 0, path
        assert page.locator("#content img").count() == 0, path
        assert "owned" not in page.title()


@pytest.mark.parametrize(
    ("wanted", "leads"),
    [
        ("tr_1", "/m/beta/payouts/"),
        ("t-1", "/m/acme/events/"),
        ("e-2", "/m/acme/events/"),
        ("4006381333931", "/m/acme/loyalty/4006381333931"),
        ("ADA-01", "/m/acme/referrals"),
        ("acct_formula", "/m/acme/payees/"),
    ],
)
def test_one_box_takes_any_id(tab: Opener, wanted: str, leads: str) -> None:
    page = tab("vera").open("/")
    page.get_by_role("searchbox").fill(wanted)
    page.get_by_role("button", name="Find").click()
    page.wait_for_url(f"**{leads}*")


def test_times_are_in_the_readers_zone_and_amounts_in_their_language(
    dashboard: Dashboard, tab: Opener
) -> None:
    made = tab("vera", locale="de-DE")
    made.page.context.add_cookies(
        [{"name": "payspool_zone", "value": "Asia/Tokyo", "url": dashboard.url}]
    )
    page = made.open(f"/m/beta/payouts/{dashboard.seeded.paid}")
    assert page.get_by_text("1.234,56 USD").count() > 0
    shown = page.locator("#content time").first
    utc = shown.get_attribute("datetime") or ""
    assert shown.get_attribute("title") == utc[:19].replace("T", " ") + " UTC"
    assert int((shown.text_content() or "")[11:13]) == (int(utc[11:13]) + 9) % 24


@pytest.mark.parametrize("width", [1280, 400])
def test_a_card_says_what_corrects_an_entry_and_where_it_was_made(
    dashboard: Dashboard, tab: Opener, width: int
) -> None:
    key = f"corrected-{width}"
    with transaction(dashboard.engine) as tx:
        merchant = house.merchant(tx, key)
        loyalty.create_program(tx, merchant, "p", name="P", currency="eur", backdating_days=3650)
    at = {"store_id": "mitte", "staff_pin_id": "ann", "terminal_device_id": "t1"}
    shop.send(
        dashboard.engine,
        shop.event("loyalty.card_created", "1", to=key, card="C1", customer_id="ada"),
        shop.event("loyalty.points_earned", "2", to=key, card="C1", points=50, **at),
        shop.event("loyalty.points_voided", "3", to=key, card="C1", related_event="2", points=20),
    )
    page = tab("vera", viewport={"width": width, "height": 900}).open(f"/m/{key}/loyalty/C1")
    history = page.get_by_role("table", name="History")
    for said in ("mitte · ann · t1", "corrected by 3", "corrects 2"):
        assert said in history.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    history.get_by_role("link", name="2", exact=True).last.click()
    page.wait_for_url("**/loyalty/C1?before=3")
    page = tab("vera", viewport={"width": width, "height": 900}).open(f"/m/{key}/loyalty")
    expect(page.locator("#content")).to_contain_text("Last sweeps")


def test_a_page_of_nobody_says_so(tab: Opener) -> None:
    made = tab("vera")
    page = made.open("/m/nobody/payouts")
    assert "There is no merchant 'nobody'" in (page.text_content("#content") or "")
    page = made.open("/m/acme/payouts/999999")
    assert "999999" in (page.text_content("#content") or "")


def test_an_event_whose_words_went_says_so_and_where_they_are(
    dashboard: Dashboard, tab: Opener, tmp_path: Path
) -> None:
    engine = dashboard.engine
    with transaction(engine) as tx:
        ancient = house.merchant(tx, "ancient")
        shop.program(tx, ancient, shop.PERCENTAGE)
        shop.code(tx, ancient, "OLD-01")
    shop.send(
        engine,
        shop.event(
            "conversion.attributed", "a-1", to="ancient", code="OLD-01", referred_user_id="ben"
        ),
    )
    with transaction(engine) as tx:
        tx.execute(
            text(
                "UPDATE inbox_events SET created_at = now() - interval '101 days' WHERE merchant_id = :m"
            ),
            {"m": ancient},
        )
    done = retention.run(engine, Retention(event_days=100), Archive(tmp_path), most=100_000)
    assert done["events"].rows == 0, "younger events lie before it"
    with transaction(engine) as tx:
        number = tx.execute(
            text("SELECT id FROM inbox_events WHERE merchant_id = :m"), {"m": ancient}
        ).scalar_one()
        retention_store.advance(tx, "events", number - 1, 0)
    assert retention.run(engine, Retention(event_days=100), Archive(tmp_path))["events"].rows == 1
    made = tab("vera")
    page = made.open(f"/m/ancient/events/{number}")
    shown = page.inner_text("#content")
    assert "It was not kept for longer" in shown
    assert f"events/{number:019d}-{number:019d}.jsonl.gz" in shown
    assert "applied" in shown
    page = made.open("/schedules")
    kept = page.get_by_role("table", name="Retention").inner_text()
    assert "100 days" in kept
    assert "1 file," in kept
