"""What people do about people at the dashboard: users, payees; and what is told of messages that failed."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Browser, expect

from domain.db import transaction
from tests.browser.conftest import Dashboard, Opener
from tests.browser.test_tasks import confirm
from tests.domain.payouts import house as payouts

pytestmark = pytest.mark.xdist_group("browser")


def test_an_admin_adds_somebody_who_signs_in_by_a_link_and_is_kept_out_later(
    dashboard: Dashboard, tab: Opener, chromium: Browser
) -> None:
    assert "admins" in (tab("anna").open("/users").text_content("#content") or "")
    made = tab("adam")
    page = made.open("/users")
    page.get_by_label("Name, as ada or ada@example.com").fill("Nina")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("table", name="Users")).to_contain_text("nina")
    page.get_by_role("button", name="Sign-in link for nina").click()
    confirm(page, "Make it")
    address = page.locator(".q-dialog .ask pre").text_content() or ""
    assert address.startswith(dashboard.url + "/link/")
    page.get_by_role("button", name="Close").last.click()
    context = chromium.new_context()
    other = context.new_page()
    other.goto(address)
    other.get_by_role("button", name="Sign in").click()
    expect(other.locator("header")).to_contain_text("nina · viewer")
    page = made.open("/users")
    page.get_by_role("button", name="Make nina operator").click()
    confirm(page, "Make them operator")
    expect(page.get_by_role("button", name="Make nina viewer")).to_be_visible()
    page.get_by_role("button", name="Disable nina").click()
    confirm(page, "Disable")
    expect(page.get_by_role("button", name="Enable nina")).to_be_visible()
    other.goto(dashboard.url)
    other.wait_for_url(re.compile("/sign-in"))
    context.close()
    assert page.get_by_role("button", name="Disable adam").count() == 0, (
        "nobody locks themselves out"
    )
    assert dashboard.scalar(
        "SELECT array_agg(action ORDER BY id) FROM audit_entries WHERE subject_id = 'nina' AND actor_id = 'adam'"
    ) == ["user.added", "user.link_made", "user.role_set", "user.disabled"]


def test_a_payee_is_blocked_by_an_operator_and_let_go_by_an_approver_with_the_history_shown(
    dashboard: Dashboard, tab: Opener
) -> None:
    page = tab("oscar").open("/m/beta/payees/ben")
    page.get_by_role("button", name="Block…").click()
    confirm(page, "Block", "account reported stolen")
    expect(page.locator("#content")).to_contain_text("oscar")
    assert page.get_by_role("button", name="Lift the block…").count() == 0
    page = tab("anna").open("/m/beta/payees/ben")
    page.get_by_role("button", name="Lift the block…").click()
    confirm(page, "Lift the block")
    expect(page.get_by_role("button", name="Block…", exact=True)).to_be_visible()
    expect(page.locator("#content")).to_contain_text("account reported stolen")
    assert dashboard.scalar(
        "SELECT array_agg(action || ' ' || actor_id ORDER BY id) FROM audit_entries WHERE action LIKE 'payee.%blocked'"
        " AND merchant_id = :beta AND subject_id = 'ben'",
        beta=dashboard.seeded.beta,
    ) == ["payee.blocked oscar", "payee.unblocked anna"]
    assert dashboard.scalar(
        "SELECT jsonb_agg(jsonb_build_array(before ->> 'blocked_reason', after ->> 'blocked_reason') ORDER BY id)"
        " FROM audit_entries WHERE action LIKE 'payee.%blocked' AND merchant_id = :beta AND subject_id = 'ben'",
        beta=dashboard.seeded.beta,
    ) == [[None, "account reported stolen"], ["account reported stolen", None]]


def test_what_failed_is_listed_with_when_it_is_tried_again(
    dashboard: Dashboard, tab: Opener
) -> None:
    base, redis = f"{dashboard.namespace}:webhooks", dashboard.redis
    redis.hset(f"{base}.msgs", "w-1", '{"actor_name": "payouts.send", "args": []}')
    redis.hset(f"{base}.tries", "w-1", 3)
    redis.zadd(f"{base}.later", {"w-1": (time.time() + 600) * 1000})
    try:
        page = tab("vera").open("/queues")
        row = page.get_by_role("table", name="Waiting retries").get_by_role("row").last
        expect(row).to_contain_text("payouts.send")
        expect(row).to_contain_text("3 times")
        expect(row).to_contain_text("9 min")
    finally:
        for suffix in ("msgs", "tries", "later"):
            redis.delete(f"{base}.{suffix}")


def test_a_payee_of_any_name_is_reached_by_its_link(dashboard: Dashboard, tab: Opener) -> None:
    name = "a?b#c%41/d é"
    with transaction(dashboard.engine) as tx:
        payouts.payee(tx, payouts.merchant(tx, "odd-names"), name)
    page = tab("vera").open("/m/odd-names/payees")
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    expect(page.locator("#content")).to_contain_text("Account")
