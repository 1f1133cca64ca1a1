"""What people do at the dashboard, in a real browser, and what the books say afterwards."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from domain.access import users
from domain.charts import duration_store, store
from domain.charts.duration_store import ActorMinute
from domain.charts.rules import histogram
from domain.db import transaction
from queues.pause import Pauses
from tests.browser import house
from tests.browser.conftest import Dashboard, Opener

pytestmark = pytest.mark.xdist_group("browser")


def confirm(page: Page, button: str, why: str | None = None) -> None:
    """Answer what a page asks."""
    dialog = page.locator(".q-dialog .ask")
    if why is not None:
        dialog.locator("textarea").fill(why)
    dialog.get_by_role("button", name=re.compile(button)).click()


def test_signing_in_by_name_and_password_leads_where_one_wanted_to_go(
    dashboard: Dashboard, chromium: Browser
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{dashboard.url}/m/acme/payouts?state=paid")
    page.get_by_label("Name").fill("Vera")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong")
    page.get_by_label("Name").fill("Vera")
    page.get_by_label("Password").fill(house.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/m/acme/payouts?state=paid")
    expect(page.locator("header")).to_contain_text("vera · viewer")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto(f"{dashboard.url}/audit")
    page.wait_for_url("**/sign-in?next=%2Faudit")
    context.close()


def test_a_link_signs_in_once(dashboard: Dashboard, chromium: Browser) -> None:
    with transaction(dashboard.engine) as tx:
        token = users.make_link(tx, "vera", actor=house.TESTER)
    context = chromium.new_context()
    page = context.new_page()
    for _ in range(2):  # whoever only looks does not use it up
        page.goto(f"{dashboard.url}/link/{token}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#content h1")).to_have_text("Overview")
    page.goto(f"{dashboard.url}/link/{token}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("was used or is too old")
    context.close()


def test_a_queue_is_paused_with_a_reason_that_every_page_shows_and_resumed(
    dashboard: Dashboard, tab: Opener
) -> None:
    made = tab("oscar")
    page = made.open("/queues")
    page.get_by_role("button", name="Pause webhooks").click()
    confirm(page, "Pause webhooks")
    expect(page.get_by_text("Say why first.")).to_be_visible()
    confirm(page, "Pause webhooks", "looking into <b>it</b>")
    expect(page.get_by_role("button", name="Resume webhooks")).to_be_visible()
    pause = Pauses(dashboard.redis, dashboard.namespace).of("webhooks")
    assert pause is not None
    assert (pause.by, pause.reason) == ("oscar", "looking into <b>it</b>")
    page = made.open("/m/acme/payees")
    expect(page.locator(".band.pause")).to_contain_text("looking into <b>it</b>")
    page = made.open("/queues")
    page.get_by_role("button", name="Resume webhooks").click()
    confirm(page, "Resume webhooks")
    expect(page.get_by_role("button", name="Pause webhooks")).to_be_visible()
    assert Pauses(dashboard.redis, dashboard.namespace).of("webhooks") is None
    assert dashboard.scalar(
        "SELECT array_agg(action ORDER BY id) FROM audit_entries WHERE subject_kind = 'queue' AND subject_id = 'webhooks'"
    ) == ["queue.paused", "queue.resumed"]


def test_sending_is_stopped_by_an_operator_and_let_go_by_an_approver(
    dashboard: Dashboard, tab: Opener
) -> None:
    page = tab("oscar").open("/stops")
    page.get_by_role("button", name="Stop sending…").click()
    confirm(page, "Stop sending", "wrong amounts")
    expect(page.locator(".band.stop")).to_contain_text("wrong amounts")
    expect(page.locator(".band.stop")).to_contain_text("oscar")
    assert page.get_by_role("button", name="Lift the stop").count() == 0
    page = tab("anna").open("/stops")
    page.get_by_role("button", name="Lift the stop").click()
    confirm(page, "Send again")
    expect(page.locator(".band.stop")).to_have_count(0)
    assert dashboard.scalar("SELECT count(*) FROM payout_stops WHERE lifted_at IS NULL") == 0


def test_a_dead_letter_is_retried_and_one_is_discarded(dashboard: Dashboard, tab: Opener) -> None:
    first, second = house.letters(dashboard.engine, dashboard.redis, dashboard.namespace, 2)
    made = tab("oscar")
    page = made.open(f"/dead/{first}")
    page.get_by_role("button", name="Retry…").click()
    confirm(page, "Retry", "the fix is deployed")
    expect(page.locator("#content")).to_contain_text("by oscar")
    fresh = dashboard.scalar("SELECT retried_as FROM dead_letters WHERE id = :id", id=first)
    message = dashboard.redis.hget(f"{dashboard.namespace}:sweeps.msgs", fresh)
    assert json.loads(message)["actor_name"] == "x.y"
    page = made.open(f"/dead/{second}")
    page.get_by_role("button", name="Discard…").click()
    confirm(page, "Discard", "written by a broken script")
    expect(page.locator("#content")).to_contain_text("discarded")
    kept = dashboard.redis.zscore(f"{dashboard.namespace}:sweeps.XQ", f"r-{second}")
    assert kept is None


def test_chosen_letters_and_then_all_that_match_are_retried_by_the_server(
    dashboard: Dashboard, tab: Opener
) -> None:
    made = house.letters(dashboard.engine, dashboard.redis, dashboard.namespace, 5)
    page = tab("oscar").open("/dead?queue=sweeps&text=KeyError")
    page.get_by_role("checkbox", name=f"Choose letter {made[0]}").click()
    page.get_by_role("checkbox", name=f"Choose letter {made[1]}").click()
    page.get_by_role("button", name="Retry chosen…").click()
    confirm(page, "Retry 2")
    expect(page.locator(".q-notification").first).to_contain_text("Retried 2 dead letters.")
    # Somebody decides on one while the page is open: it is told, and stops no other.
    with transaction(dashboard.engine) as tx:
        from domain.dead_letters import service

        service.discard(tx, [made[2]], house.TESTER, "by hand")
    page.get_by_role("button", name=re.compile("Discard all")).click()
    confirm(page, "Discard all", "all of one cause")
    expect(page.get_by_text("No dead letter is open")).to_be_visible()
    states = dashboard.scalar(
        "SELECT array_agg(state ORDER BY id) FROM dead_letters WHERE id = ANY(:ids)", ids=made
    )
    assert states == ["retried", "retried", "discarded", "discarded", "discarded"]


def test_who_prepared_a_run_does_not_approve_it_and_another_person_does(
    dashboard: Dashboard, tab: Opener
) -> None:
    with transaction(dashboard.engine) as tx:
        users.set_role(tx, "oscar", "approver", actor=house.TESTER)
    try:
        run, key = dashboard.seeded.run, f"/m/acme/runs/{dashboard.seeded.run}"
        page = tab("oscar").open(key)
        expect(page.get_by_text("You prepared this run")).to_be_visible()
        assert page.get_by_role("button", name="Approve…").count() == 0
    finally:
        with transaction(dashboard.engine) as tx:
            users.set_role(tx, "oscar", "operator", actor=house.TESTER)
    page = tab("anna").open(key)
    page.get_by_role("button", name="Approve…").click()
    expect(page.locator(".ask")).to_contain_text("29.00 USD")
    confirm(page, "Approve and send")
    expect(page.locator("#content")).to_contain_text("Approved by")
    expect(page.get_by_role("button", name="Approve…")).to_have_count(0)
    assert dashboard.scalar("SELECT approved_by FROM payout_runs WHERE id = :id", id=run) == "anna"
    asked = "SELECT count(*) FROM outbox WHERE actor = 'payouts.send' AND merchant_id = :m"
    assert dashboard.scalar(asked, m=dashboard.seeded.acme) == 2


def test_a_run_is_previewed_and_another_is_rejected_with_a_reason(
    dashboard: Dashboard, tab: Opener
) -> None:
    run = house.waiting_run(dashboard.engine, dashboard.seeded.acme, "july")
    made = tab("anna")
    page = made.open("/m/beta/runs")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("status").last).to_contain_text("Nothing was written")
    page = made.open(f"/m/acme/runs/{run}")
    page.get_by_role("button", name="Reject…").click()
    confirm(page, "Reject the run", "paid by hand")
    expect(page.locator("#content")).to_contain_text("anna: paid by hand")
    assert dashboard.scalar("SELECT state FROM payout_runs WHERE id = :id", id=run) == "rejected"
    live = "SELECT count(*) FROM payouts WHERE run_id = :id AND state <> 'canceled'"
    assert dashboard.scalar(live, id=run) == 0


def test_what_came_back_is_decided_on_by_an_approver(dashboard: Dashboard, tab: Opener) -> None:
    seeded = dashboard.seeded
    house.comes_back(dashboard.engine, seeded.beta, seeded.paid, 1_000)
    page = tab("oscar").open("/m/beta/ledger")
    expect(page.get_by_role("table", name="Reversals")).to_contain_text("10.00 USD")
    assert page.get_by_role("button", name=re.compile("kept")).count() == 0
    page = tab("anna").open("/m/beta/ledger")
    page.get_by_role("button", name=re.compile("kept")).click()
    confirm(page, "Kept", "her account was closed")
    expect(page.get_by_role("button", name=re.compile("kept"))).to_have_count(0)
    decided = "SELECT decision || ' by ' || decided_by FROM payout_reversals"
    assert dashboard.scalar(decided) == "kept by anna"


def test_a_rejected_event_is_edited_and_resubmitted(dashboard: Dashboard, tab: Opener) -> None:
    number = dashboard.seeded.rejected
    page = tab("oscar").open(f"/m/acme/events/{number}")
    page.get_by_role("button", name="Edit and resubmit…").click()
    dialog = page.locator(".q-dialog .ask")
    data = dialog.get_by_label("Data (JSON)")
    data.fill(data.input_value().replace("NOBODY", "ADA-01"))
    dialog.get_by_label("Why").fill("the shop had misspelled it")
    dialog.get_by_role("button", name="Resubmit").click()
    expect(page.locator("#content")).to_contain_text("Tracking")
    assert (
        dashboard.scalar("SELECT status FROM inbox_events WHERE id = :id", id=number) == "applied"
    )
    by = "SELECT actor_id FROM inbox_revisions WHERE inbox_id = :id AND revision = 2"
    assert dashboard.scalar(by, id=number) == "oscar"


def test_a_page_that_is_open_ends_with_its_session(dashboard: Dashboard, tab: Opener) -> None:
    with transaction(dashboard.engine) as tx:
        users.add(tx, "otto", "operator", actor=house.TESTER, password=house.PASSWORD)
    from tests.browser.conftest import sign_in

    made = tab("oscar")
    made.page.context.add_cookies(
        [
            {
                "name": "payspool_session",
                "value": sign_in(dashboard.url, "otto"),
                "url": dashboard.url,
            }
        ]
    )
    page = made.open("/queues")
    with transaction(dashboard.engine) as tx:
        users.disable(tx, "otto", actor=house.TESTER)
    page.wait_for_url("**/sign-in")


def test_how_long_actors_took_is_shown_and_a_page_that_is_paused_stays_as_it_is(
    dashboard: Dashboard, tab: Opener
) -> None:
    def took(seconds: float) -> None:
        with transaction(dashboard.engine) as tx:
            at = store.minute(tx) - timedelta(minutes=2)
            kept = ActorMinute("payouts.send", at, histogram([seconds] * 10), 1, 1_000)
            duration_store.add(tx, [kept])

    took(0.1)
    page = tab("vera").open("/queues")
    shown = page.get_by_role("table", name="Durations by actor")
    expect(shown).to_contain_text("payouts.send")
    expect(shown.locator("tbody tr")).to_contain_text("10")
    page.get_by_role("button", name="Live: pause").click()
    expect(page.get_by_role("button", name="Paused: go on")).to_be_visible()
    took(0.1)
    page.wait_for_timeout(6_000)  # longer than a turn
    expect(shown.locator("tbody tr td").nth(1)).to_have_text("10")
    page.get_by_role("button", name="Paused: go on").click()
    expect(shown.locator("tbody tr td").nth(1)).to_have_text("20")
