"""Markup in every text that a producer controls is text on every page that shows it: nothing of it runs."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page
from sqlalchemy import text

from domain.audit import service as audit
from domain.db import transaction
from domain.loyalty import service as loyalty
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from payspool_client import EVENT_TYPES
from queues.dead import DeadLetter
from tests.browser import house as board
from tests.browser.conftest import Dashboard, Opener, Tab
from tests.browser.markup import IMAGE, KINDS, LINK, SHORT, UNBROKEN, events, misfits
from tests.domain.inbox import shop
from tests.domain.payouts import house
from workers.dead_letters import SqlDeadLetters

pytestmark = pytest.mark.xdist_group("browser")

WATCH = "window.ran = []; window.owned = () => { window.ran.push(location.href); };"
ALIVE = (
    "#content :is(img, script, iframe, object, embed, [onerror], [onload], [onclick*=owned]),"
    " a[href^='javascript:' i], [src^='javascript:' i], form[action^='javascript:' i]"
)
"""What none of the texts may have become."""


@pytest.fixture(scope="module")
def mallory(dashboard: Dashboard) -> dict[str, int]:
    """A merchant whose producer means ill; its events are taken as any others. By type, numbers of events."""
    engine = dashboard.engine
    with transaction(engine) as tx:
        merchant = house.merchant(tx, "mallory")
        terms = Terms(rule={"kind": "percentage", "basis_points": 1000}, currency="usd")
        admin.create_program(tx, merchant, "refer", IMAGE, terms, actor=board.TESTER)
        owner = KINDS["markup"]("owner")
        admin.create_codes(tx, merchant, "refer", [NewCode(owner, "EVIL-01")], actor=board.TESTER)
        loyalty.create_program(tx, merchant, "club", name=IMAGE, currency="usd", welcome_bonus=10)
        audit.record(
            tx,
            board.TESTER,
            "payee.blocked",
            merchant_id=merchant,
            subject_kind=IMAGE,
            subject_id=IMAGE,
            reason=IMAGE,
            after={IMAGE: IMAGE},
        )
    for kind in KINDS:
        shop.send_one_by_one(engine, *(one for _, one in events(kind)), *misfits(kind))
    for kind, made in KINDS.items():
        raw = (
            f'{{"actor_name": "{kind}.of", "args": ["{IMAGE}"], "kwargs": {{"{LINK}": "{SHORT}"}}}}'
        )
        SqlDeadLetters(engine).record(
            DeadLetter.of(
                "webhooks",
                made("r-1")[:200],
                raw.encode(),
                f"Traceback {IMAGE}\n{made('reason')}",
                attempts=1,
                deaths=0,
            )
        )
    with transaction(engine) as tx:
        for kind in KINDS:
            house.earn(tx, merchant, 9_000, KINDS[kind]("user_id"))
    house.run(engine, merchant, "june")
    with engine.connect() as tx:
        rows = tx.execute(
            text(
                "SELECT type, min(id) AS id FROM inbox_events WHERE merchant_id = :m GROUP BY type"
            ),
            {"m": merchant},
        )
        return {row.type: row.id for row in rows}


def pages(dashboard: Dashboard, numbers: dict[str, int]) -> Iterator[str]:
    """Every page that can show what the merchant's producer said."""
    of = "/m/mallory"
    yield from ("/", "/charts", "/queues", "/dead", "/dead?tab=unreadable", "/schedules", "/audit")
    yield from (f"/audit?merchant=mallory&q={quote(IMAGE)}", f"/dead?text={quote(IMAGE)}")
    yield from (f"{of}/events", f"{of}/events?status=rejected", f"{of}/events?status=waiting")
    yield from (f"{of}/runs", f"{of}/payouts", f"{of}/payees", f"{of}/bank", f"{of}/referrals")
    yield from (f"{of}/program/refer", f"{of}/loyalty-program/club", f"{of}/holds", f"{of}/loyalty")
    yield f"{of}/ledger"
    for number in numbers.values():
        yield f"{of}/events/{number}"
    for made in KINDS.values():
        for name in ("user_id", "referred_user_id", "owner"):
            yield f"{of}/payees/{quote(made(name), safe='')}"
            yield f"{of}/referrals?q={quote(made(name), safe='')}"
        yield f"{of}/loyalty/{quote(made('card'), safe='')}"
        for name in ("card", "customer_id", "transaction_id", "user_id", "0", "r-1"):
            yield f"/search?q={quote(made(name), safe='')}"
    yield from (f"/search?q={quote(SHORT)}", f"/{quote(IMAGE)}", f"/m/{quote(IMAGE)}/events")
    with dashboard.engine.connect() as tx:
        letters = tx.execute(text("SELECT id FROM dead_letters WHERE actor LIKE '%.of'"))
        yield from [f"/dead/{row.id}" for row in letters]
        runs = tx.execute(
            text(
                "SELECT r.id, p.id AS payout FROM payout_runs r JOIN merchants m ON m.id = r.merchant_id"
                " LEFT JOIN payouts p ON p.run_id = r.id WHERE m.key = 'mallory'"
            )
        ).all()
    yield from sorted({f"{of}/runs/{row.id}" for row in runs})
    yield from [f"{of}/payouts/{row.payout}" for row in runs if row.payout]


def look(made: Tab, path: str) -> str:
    """What a page says, after it has shown that nothing of it ran."""
    page: Page = made.page
    answer = page.goto(made.url + path)
    assert answer is not None
    if answer.status == 200:
        page.wait_for_selector("#content h1, #content [role=alert]")
        page.wait_for_function("window.socket && window.socket.connected")
        if path == "/m/mallory/loyalty":  # which draws later what sums much
            page.get_by_role("table", name="Programs").wait_for()
            page.get_by_text("What the next sweep would expire now").wait_for()
    assert page.evaluate("window.ran") == [], path
    assert (
        page.evaluate("q => [...document.querySelectorAll(q)].map(e => e.outerHTML)", ALIVE) == []
    ), path
    return page.locator("body").inner_text()


def test_every_type_is_tried_with_markup_in_every_text() -> None:
    assert [type_ for type_, _ in events("markup")] == list(EVENT_TYPES)
    for type_, said in events("markup"):
        assert said.count("owned()") >= 4, type_


def test_nothing_that_a_producer_says_runs_on_any_page(
    dashboard: Dashboard, tab: Opener, mallory: dict[str, int]
) -> None:
    assert set(EVENT_TYPES) < set(mallory), "each type was taken, and one that does not exist"
    made = tab("adam")
    made.page.add_init_script(WATCH)
    dialogs: list[str] = []
    made.page.on("dialog", lambda one: (dialogs.append(one.message), one.dismiss()))
    said = {path: look(made, path) for path in pages(dashboard, mallory)}
    made.complaints[:] = [one for one in made.complaints if "404" not in one]  # pages that are none
    assert dialogs == []
    assert made.complaints == []
    for path, shown in said.items():
        if path.startswith("/m/mallory/events/"):
            assert IMAGE in shown or SHORT in shown or LINK in shown, path
    for path in (
        "/dead",
        "/dead?tab=unreadable",
        "/audit",
        "/m/mallory/events",
        "/m/mallory/payees",
        "/m/mallory/referrals",
        "/m/mallory/payouts",
        "/m/mallory/loyalty",
        f"/m/mallory/payees/{quote(KINDS['markup']('user_id'), safe='')}",
    ):
        assert IMAGE in said[path], path
    for path in (
        "/m/mallory/loyalty",
        f"/m/mallory/loyalty/{quote(KINDS['markup']('card'), safe='')}",
        f"/search?q={quote(KINDS['markup']('card'), safe='')}",
    ):
        assert UNBROKEN in said[path], path
    for letter in [path for path in said if path.startswith("/dead/")]:
        assert IMAGE in said[letter], letter
