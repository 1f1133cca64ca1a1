"""The main tasks by keyboard alone and on a phone; what is clicked twice; tables that sort; points that expire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from domain.charts import duration_store, store
from domain.charts.duration_store import ActorMinute
from domain.charts.rules import histogram
from domain.db import transaction
from domain.dead_letters.store import LOOKED_THROUGH
from domain.loyalty import service as loyalty
from domain.merchants import service as merchants
from payspool.embedded import Endpoints
from payspool.installing import expiry_schedule
from queues.pause import Pauses
from tests.browser import house
from tests.browser.conftest import Dashboard, Opener, board, opened, sign_in
from tests.browser.test_pages import serious
from tests.browser.test_tasks import confirm
from tests.domain.inbox import shop
from tests.domain.payouts import house as payouts

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def dashboard(
    admin_url: str, template: str, servers: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """One of their own: they pause queues, approve runs and add to charts that other tests look at."""
    with (
        board(admin_url, template) as engine,
        opened(engine, servers.redis_url, tmp_path_factory.mktemp("board")) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def cookies(dashboard: Dashboard) -> dict[str, str]:
    return {name: sign_in(dashboard.url, name) for name in house.PEOPLE}


SIZES = pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (400, "light")])
NAMED = "document.activeElement?.getAttribute('aria-label') || document.activeElement?.textContent?.trim() || ''"
TABS_MAX = 90
DAY = timedelta(days=1)


def reach(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus, and can be seen to have it."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.evaluate(NAMED) == name:
            shown = page.evaluate(
                "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
                " || document.activeElement.querySelector('.q-focus-helper') !== null"
            )
            assert shown, f"nobody sees that {name} has the focus"
            return
    raise AssertionError(f"{name} is not reached by {TABS_MAX} tabs")


def by_keyboard(page: Page, opener: str, answer: str, why: str | None = None) -> None:
    """Open a question, give a reason and answer it, without a mouse."""
    reach(page, opener)
    page.keyboard.press("Enter")
    expect(page.locator(".q-dialog .ask")).to_be_visible()
    if why is not None:
        page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")
        page.keyboard.type(why)
    reach(page, answer)
    page.keyboard.press("Enter")
    expect(page.locator(".q-dialog .ask")).to_have_count(0)


def shown(width: int, scheme: str) -> dict[str, object]:
    return {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}


@SIZES
def test_a_dead_letter_is_retried_by_keyboard_alone(
    dashboard: Dashboard, tab: Opener, width: int, scheme: str
) -> None:
    [letter] = house.letters(dashboard.engine, dashboard.redis, dashboard.namespace, 1)
    page = tab("oscar", **shown(width, scheme)).open("/dead?queue=sweeps")
    reach(page, str(letter))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/dead/{letter}")
    expect(page.get_by_role("button", name="Retry…")).to_be_visible()
    page.wait_for_function("window.socket && window.socket.connected")
    by_keyboard(page, "Retry…", "Retry", "the fix is deployed")
    expect(page.locator("#content")).to_contain_text("by oscar")
    state = "SELECT state FROM dead_letters WHERE id = :id"
    assert dashboard.scalar(state, id=letter) == "retried"


@SIZES
def test_a_run_is_approved_by_keyboard_alone(
    dashboard: Dashboard, tab: Opener, width: int, scheme: str
) -> None:
    run = house.waiting_run(dashboard.engine, dashboard.seeded.acme, f"keys {width}")
    page = tab("anna", **shown(width, scheme)).open(f"/m/acme/runs/{run}")
    by_keyboard(page, "Approve…", "Approve and send")
    expect(page.locator("#content")).to_contain_text("Approved by")
    by = "SELECT approved_by FROM payout_runs WHERE id = :id"
    assert dashboard.scalar(by, id=run) == "anna"


@SIZES
def test_a_queue_is_paused_and_sending_is_stopped_by_keyboard_alone(
    dashboard: Dashboard, tab: Opener, width: int, scheme: str
) -> None:
    made = tab("anna", **shown(width, scheme))
    page = made.open("/queues")
    by_keyboard(page, "Pause webhooks", "Pause webhooks", "by keyboard")
    expect(page.get_by_role("button", name="Resume webhooks")).to_be_visible()
    by_keyboard(page, "Resume webhooks", "Resume webhooks")
    expect(page.get_by_role("button", name="Pause webhooks")).to_be_visible()
    assert Pauses(dashboard.redis, dashboard.namespace).of("webhooks") is None
    page = made.open("/stops")
    by_keyboard(page, "Stop sending…", "Stop sending", "by keyboard")
    expect(page.locator(".band.stop")).to_contain_text("by keyboard")
    page.wait_for_function("window.socket && window.socket.connected")
    by_keyboard(page, "Lift the stop of all merchants, any method…", "Send again")
    expect(page.locator(".band.stop")).to_have_count(0)


def test_who_clicks_twice_asks_once_and_approves_once(dashboard: Dashboard, tab: Opener) -> None:
    run = house.waiting_run(dashboard.engine, dashboard.seeded.acme, "twice")
    page = tab("anna").open(f"/m/acme/runs/{run}")
    page.get_by_role("button", name="Approve…").evaluate("b => { b.click(); b.click(); }")
    expect(page.locator(".q-dialog .ask")).to_have_count(1)
    page.wait_for_timeout(1_000)
    assert page.locator(".q-dialog .ask").count() == 1
    page.locator(".ask").get_by_role("button", name="Approve and send").evaluate(
        "b => { b.click(); b.click(); }"
    )
    expect(page.locator("#content")).to_contain_text("Approved by")
    expect(page.locator(".q-dialog .ask")).to_have_count(0)
    assert page.locator(".q-notification.bg-negative").count() == 0
    times = "SELECT count(*) FROM audit_entries WHERE action = 'payout_run.approved' AND subject_id = :id"
    asked = "SELECT count(*) FROM outbox o JOIN payouts p ON p.id = (o.args ->> 'payout_id')::bigint WHERE p.run_id = :id"
    assert dashboard.scalar(asked, id=run) == dashboard.scalar(
        "SELECT count(*) FROM payouts WHERE run_id = :id", id=run
    )
    assert dashboard.scalar(times, id=str(run)) <= 1


def test_a_table_sorts_what_it_shows_by_exact_amounts_and_stays_sorted(
    dashboard: Dashboard, tab: Opener
) -> None:
    amounts = {"nine": 900, "ten": 1_000, "many": 123_456_00, "less": 100}
    with transaction(dashboard.engine) as tx:
        merchant = payouts.merchant(tx, "sorted")
        for user, amount in amounts.items():
            payouts.payee(tx, merchant, user, f"acct_{user}")
            payouts.earn(tx, merchant, amount, user)
    payouts.run(dashboard.engine, merchant, "one")
    page = tab("vera").open("/m/sorted/payouts")
    title = page.get_by_role("columnheader", name="Amount")

    def users() -> list[str]:
        return page.locator("table.rows tbody tr").evaluate_all(
            "(rows) => rows.map((r) => r.querySelector('[data-label=User]').innerText.trim())"
        )

    ascending = ["less", "nine", "ten", "many"]
    title.click()
    assert users() == ascending
    assert title.get_attribute("aria-sort") == "ascending"
    title.focus()
    page.keyboard.press("Enter")
    assert users() == ascending[::-1]
    assert title.get_attribute("aria-sort") == "descending"
    page.get_by_role("searchbox").focus()
    with transaction(dashboard.engine) as tx:
        payouts.payee(tx, merchant, "five", "acct_five")
        payouts.earn(tx, merchant, 500, "five")
    payouts.run(dashboard.engine, merchant, "two")
    expect(page.locator("table.rows tbody tr")).to_have_count(5)
    assert users() == ["many", "ten", "nine", "five", "less"], "drawn anew, it is sorted as before"


def test_points_that_are_due_are_foreseen_by_program_and_expired_by_hand(
    dashboard: Dashboard, tab: Opener
) -> None:
    engine, now = dashboard.engine, datetime.now(UTC)
    with transaction(engine) as tx:
        bakery = payouts.merchant(tx, "bakery")
        for key, days in (("beans", 2), ("buns", 60)):
            loyalty.create_program(
                tx, bakery, key, name=key, currency="eur", backdating_days=30,
                expiration=[{"kind": "rolling", "days": days}],
            )  # fmt: skip
        expiry_schedule(tx, merchants.get(tx, "bakery"))
    for program in ("beans", "buns"):
        card = {"card": f"C-{program}", "program": program}
        at = now - 5 * DAY
        shop.send(
            engine,
            shop.event("loyalty.card_created", f"c-{program}", at, to="bakery", customer_id=program, **card),
            shop.event("loyalty.points_earned", f"e-{program}", at, to="bakery", card=card["card"], points=70),
        )  # fmt: skip
    page = tab("vera").open("/m/bakery/loyalty")
    expect(page.get_by_text("Points that will expire: buns")).to_be_visible()
    expect(page.get_by_text("Points that will expire: beans")).to_have_count(0)
    expect(page.get_by_role("table", name="Due now")).to_contain_text("beans")
    expect(page.get_by_text("It has not swept yet.")).to_be_visible()
    assert page.get_by_role("button", name="Expire what is due…").count() == 0
    page = tab("oscar", viewport={"width": 400, "height": 800}).open("/m/bakery/loyalty")
    page.get_by_role("button", name="Expire what is due…").click()
    expect(page.locator(".ask")).to_contain_text("70 points of 1 card are due and expire for good")
    confirm(page, "Expire them")
    expect(page.get_by_role("table", name="Last sweeps")).to_contain_text("emitted")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert serious(page) == []
    fired = (
        "SELECT count(*) FROM schedule_fires WHERE name = 'loyalty.expire_points/bakery' AND manual"
    )
    assert dashboard.scalar(fired) == 1
    asked = "SELECT count(*) FROM outbox WHERE actor = 'loyalty.expire_points' AND merchant_id = :m"
    assert dashboard.scalar(asked.replace(" AND merchant_id = :m", "")) >= 1
    audited = (
        "SELECT actor_id FROM audit_entries WHERE action = 'schedule.run_now' AND merchant_id = :m"
    )
    assert dashboard.scalar(audited, m=bakery) == "oscar"


def test_a_text_is_looked_for_among_so_many_letters_and_then_further_back(
    dashboard: Dashboard, tab: Opener
) -> None:
    with transaction(dashboard.engine) as tx:
        tx.execute(
            text(
                """
                INSERT INTO dead_letters (queue, redis_message_id, actor, args, raw_bytes, reason, attempts, deaths)
                SELECT 'haystack', 'hay-' || i, 'hay.of', CASE WHEN i = 1 THEN 'needle' ELSE 'hay' END, 1, 'KeyError', 1, 0
                FROM generate_series(1, :most + 1) i
                """
            ),
            {"most": LOOKED_THROUGH},
        )
    try:
        page = tab("oscar").open("/dead?queue=haystack&text=needle")
        expect(page.locator("#content")).to_contain_text(
            f"None of the {LOOKED_THROUGH:,} that were looked through has this text."
        )
        page.get_by_role("link", name="Search older ones").click()
        expect(page.get_by_role("table", name="Dead letters")).to_contain_text("hay.of")
        page = tab("oscar").open("/dead?queue=haystack&text=KeyError")
        expect(page.get_by_role("button", name="Retry all 20,000+ that match…")).to_be_visible()
    finally:
        with transaction(dashboard.engine) as tx:
            tx.execute(
                text(
                    "UPDATE dead_letters SET state = 'discarded', decided_by = 'tester', decided_at = now()"
                    " WHERE queue = 'haystack'"
                )
            )


def test_the_day_and_latencies_are_shown(dashboard: Dashboard, tab: Opener) -> None:
    with transaction(dashboard.engine) as tx:
        at = store.minute(tx)
        rows = [("booked.reward", "jpy", 4_200), ("booked.points_earned", "points:tea", 77)]
        store.put(tx, at, rows)
        for minutes in (5, 6):
            kept = ActorMinute(
                "events.ingest", at - timedelta(minutes=minutes), histogram([0.1] * 9), 0, 900
            )
            duration_store.add(tx, [kept])
    made = tab("vera", locale="en-US")
    page = made.open("/")
    day = page.get_by_role("table", name="Money today by currency")
    expect(day.get_by_role("row").filter(has_text="JPY")).to_contain_text("4,200 JPY")
    expect(page.get_by_role("table", name="Points today by program")).to_contain_text("tea")
    page = made.open("/charts")
    expect(
        page.get_by_role("heading", name="events.ingest: half (p50) done within")
    ).to_be_visible()
    expect(page.get_by_role("heading", name="events.ingest: 95 of 100 (p95)")).to_be_visible()


def test_an_event_leads_down_to_the_transfer_that_paid_it_and_says_why_so_much(
    dashboard: Dashboard, tab: Opener
) -> None:
    engine = dashboard.engine
    with transaction(engine) as tx:
        traced = shop.merchant(tx, "traced")
        shop.program(tx, traced, shop.PERCENTAGE, hold_days=0)
        shop.code(tx, traced, "TRACED-1", "tess")
        payouts.payee(tx, traced, "tess", "acct_tess")
    shop.send(
        engine,
        shop.conversion(
            "sale-9", "uli", 12_900, by="TRACED-1", at=payouts.JUNE - DAY, id_="t-9", to="traced"
        ),
    )
    payouts.run(engine, traced, "once")
    payout = dashboard.scalar("SELECT id FROM payouts WHERE merchant_id = :m", m=traced)
    success = replace(payouts.SUCCESS, external_id="tr_traced")
    payouts.record(engine, payouts.begin(engine, payout), success)
    page = tab("vera").open("/")
    page.get_by_role("searchbox").fill("sale-9")
    page.keyboard.press("Enter")
    page.wait_for_url("**/m/traced/events/*")
    expect(page.locator(".band.test")).to_contain_text("no real money moves")
    line = page.locator("ol.line")
    expect(line).to_contain_text("tess earned 12.90 USD")
    expect(line).to_contain_text("tr_traced")
    page.get_by_text("why this amount").click()
    expect(line).to_contain_text('"basis_points": 1000')
    line.get_by_role("link", name=f"payout {payout}").click()
    expect(page.locator("#content h1")).to_contain_text(str(payout))
    expect(page.locator("#content")).to_contain_text("tr_traced")
