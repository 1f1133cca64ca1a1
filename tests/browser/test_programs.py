"""Programs at the dashboard, in a real browser, and what the books say then."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from domain import clock
from domain.db import transaction
from domain.loyalty import service as loyalty
from domain.referrals import admin
from domain.referrals.admin import Terms
from tests.browser import house
from tests.browser.conftest import Dashboard, Opener
from tests.browser.test_tasks import confirm
from tests.domain.inbox import shop
from tests.domain.payouts import house as payouts

pytestmark = pytest.mark.xdist_group("browser")

VERSION = (
    "SELECT v.version || ' ' || (v.rule ->> 'basis_points') || ' ' || v.hold_days FROM programs p"
    " JOIN program_versions v ON v.program_id = p.id AND v.version = p.version"
    " WHERE p.merchant_id = :m AND p.key = 'friends'"
)
BY = "SELECT string_agg(action || ' ' || actor_id, ', ' ORDER BY id) FROM audit_entries WHERE merchant_id = :m"


def test_a_program_is_added_changed_paused_and_ended_with_what_is_wrong_said_at_its_field(
    dashboard: Dashboard, tab: Opener
) -> None:
    with transaction(dashboard.engine) as tx:
        merchant = payouts.merchant(tx, "progs")
    page = tab("anna").open("/m/progs/referrals")
    page.get_by_role("link", name="Add a program").click()
    page.get_by_role("button", name="Add the program…").click()
    expect(page.locator(".q-field", has_text="Key, as friends")).to_contain_text("is needed")
    page.get_by_label("Key, as friends").fill("friends")
    page.get_by_label("Days until it may be paid").fill("200")
    page.get_by_role("button", name="Add the program…").click()
    confirm(page, "Add it")
    expect(page.locator(".q-field", has_text="Days until it may be paid")).to_contain_text(
        "is from 0 to 90"
    )
    assert dashboard.scalar("SELECT count(*) FROM programs WHERE merchant_id = :m", m=merchant) == 0
    page.get_by_label("Days until it may be paid").fill("7")
    page.get_by_role("button", name="Add the program…").click()
    confirm(page, "Add it")
    page.wait_for_url("**/m/progs/program/friends")
    assert dashboard.scalar(VERSION, m=merchant) == "1 1000 7"
    page.get_by_label("Reward of the referrer").fill(
        '{"kind": "percentage", "basis_points": 90000}'
    )
    page.get_by_role("button", name="Save as a new version…").click()
    confirm(page, "Change them")
    expect(page.locator(".q-field", has_text="Reward of the referrer")).to_contain_text(
        "basis_points"
    )
    page.get_by_label("Reward of the referrer").fill('{"kind": "percentage", "basis_points": 900}')
    page.get_by_role("button", name="Save as a new version…").click()
    confirm(page, "Change them")
    expect(page.locator("dl.facts")).to_contain_text("2")
    assert dashboard.scalar(VERSION, m=merchant) == "2 900 7"
    page = tab("oscar").open("/m/progs/program/friends")
    expect(page.locator("#content")).to_contain_text('"basis_points": 900')
    assert page.get_by_role("button", name="Save as a new version…").count() == 0
    page.get_by_role("button", name="Pause…").click()
    confirm(page, "Pause it")
    expect(page.locator(".chip")).to_have_text("paused")
    assert page.get_by_role("button", name="Resume…").count() == 0, "an operator only stops"
    page = tab("anna").open("/m/progs/program/friends")
    page.get_by_role("button", name="End…").click()
    confirm(page, "End it")
    expect(page.locator(".chip")).to_have_text("ended")
    done = "program.created anna, program.changed anna, program.status_set oscar, program.status_set anna"
    assert dashboard.scalar(BY, m=merchant) == done


def test_a_change_is_refused_over_one_that_was_not_seen(dashboard: Dashboard, tab: Opener) -> None:
    with transaction(dashboard.engine) as tx:
        merchant = payouts.merchant(tx, "racing")
        terms = Terms(rule={"kind": "percentage", "basis_points": 1000}, currency="usd")
        admin.create_program(tx, merchant, "friends", "Friends", terms, actor=house.TESTER)
    page = tab("anna").open("/m/racing/program/friends")
    with transaction(dashboard.engine) as tx:
        other = Terms(rule={"kind": "percentage", "basis_points": 50}, currency="usd")
        admin.change_program(tx, merchant, "friends", other, actor=house.TESTER)
    page.get_by_role("button", name="Save as a new version…").click()
    confirm(page, "Change them")
    expect(page.locator(".q-notification")).to_contain_text(
        "is at version 2 now, and you looked at 1"
    )
    assert dashboard.scalar(VERSION, m=merchant) == "2 50 0"


def test_a_loyalty_program_is_added_and_changed(dashboard: Dashboard, tab: Opener) -> None:
    with transaction(dashboard.engine) as tx:
        merchant = payouts.merchant(tx, "points")
    page = tab("anna").open("/m/points/loyalty-program")
    page.get_by_label("Key, as club").fill("Club!")
    page.get_by_label("Expiry policies").fill('[{"kind": "rolling", "months": 12}]')
    page.get_by_role("button", name="Add the program…").click()
    confirm(page, "Add it")
    expect(page.locator(".q-field", has_text="Key, as club")).to_contain_text("use 1 to 100 of a-z")
    page.get_by_label("Key, as club").fill("club")
    page.get_by_role("button", name="Add the program…").click()
    confirm(page, "Add it")
    page.wait_for_url("**/m/points/loyalty-program/club")
    swept = (
        "SELECT count(*) FROM schedules WHERE merchant_id = :m AND actor = 'loyalty.expire_points'"
    )
    assert dashboard.scalar(swept, m=merchant) == 1
    page.get_by_label("Welcome bonus").fill("-1")
    page.get_by_role("button", name="Save as a new version…").click()
    confirm(page, "Change them")
    expect(page.locator(".q-field", has_text="Welcome bonus")).to_contain_text(
        "give a whole number"
    )
    page.get_by_label("Welcome bonus").fill("25")
    page.get_by_role("button", name="Save as a new version…").click()
    confirm(page, "Change them")
    expect(page.locator("dl.facts")).to_contain_text("2")
    changed = (
        "SELECT before::text || after::text FROM audit_entries"
        " WHERE merchant_id = :m AND action = 'loyalty_program.changed' AND actor_id = 'anna'"
    )
    assert dashboard.scalar(changed, m=merchant) == '{"welcome_bonus": 0}{"welcome_bonus": 25}'


def test_a_card_tells_its_tier_and_how_it_came_to_it(dashboard: Dashboard, tab: Opener) -> None:
    with transaction(dashboard.engine) as tx:
        merchant = payouts.merchant(tx, "tiered")
        silver = [{"key": "silver", "from": 100, "basis_points": 15_000}]
        loyalty.create_program(tx, merchant, "club", name="Club", currency="usd", tiers=silver)
        now = clock.business_now(tx)
    card = {"to": "tiered", "card": "T1"}
    shop.send(
        dashboard.engine,
        shop.event("loyalty.card_created", "t-o", now, **card, customer_id="u-1"),
        shop.event("loyalty.points_earned", "t-e", now, **card, points=100),
    )
    page = tab("vera").open("/m/tiered/loyalty/T1")
    expect(page.locator("dl.facts")).to_contain_text("silver, with 100 points of the period")
    expect(page.get_by_role("table", name="Tiers")).to_contain_text("points earned")
