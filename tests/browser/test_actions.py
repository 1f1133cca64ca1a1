"""Each role tries each action: as the server takes it, over a page's websocket, and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page
from sqlalchemy import text

from domain.access import sessions, users
from domain.access.roles import ROLES
from domain.db import transaction
from domain.errors import DomainError
from payspool.embedded import Endpoints
from queues.errors import QueuesError
from tests.browser import attempting, house
from tests.browser.attempts import ATTEMPTS
from tests.browser.conftest import Dashboard, running, sign_in
from tests.browser.test_security import context_of, visit
from web.dashboard import exports, signing
from web.dashboard.actions import ACTIONS, NotAllowed, perform

pytestmark = pytest.mark.xdist_group("browser")

CLICK_ALL = "document.querySelectorAll('[data-attempt]').forEach((one) => one.click())"
ALL_SAID = "[...document.querySelectorAll('[data-said]')].every((one) => one.textContent)"
READ = "Object.fromEntries([...document.querySelectorAll('[data-said]')].map((one) => [one.dataset.said, one.textContent]))"


def may(role: str, name: str) -> bool:
    return ROLES.index(role) >= ROLES.index(ATTEMPTS[name][0])


def test_each_action_has_a_row_in_the_table_of_attempts_with_its_role() -> None:
    assert {name: one.role for name, one in ACTIONS.items()} == {
        name: role for name, (role, _) in ATTEMPTS.items()
    }, "a new action needs a row in tests/browser/attempts.py"


@pytest.mark.parametrize("name", sorted(ATTEMPTS))
def test_each_role_tries_each_action(
    dashboard: Dashboard, cookies: dict[str, str], name: str
) -> None:
    for who, role in house.PEOPLE.items():
        before = _written(dashboard)
        refusal: str | None = None
        try:
            perform(visit(dashboard, cookies[who]), name, **ATTEMPTS[name][1])
        except NotAllowed as error:
            refusal = str(error)
        except (DomainError, QueuesError):
            refusal = None
        assert (refusal is None) is may(role, name), f"{who}, {role}: {refusal}"
        assert refusal is None or f"{name} needs the role {ATTEMPTS[name][0]}" in refusal
        assert _written(dashboard) == before, f"{who} changed something"


def _written(dashboard: Dashboard) -> tuple[int, int, int]:
    """What every action that does something writes, one way or another."""
    with dashboard.engine.connect() as tx:
        row = tx.execute(
            text(
                "SELECT (SELECT count(*) FROM audit_entries), (SELECT count(*) FROM outbox),"
                " (SELECT count(*) FROM users)"
            )
        ).one()
    return row[0], row[1], row[2]


@pytest.fixture(scope="module")
def attempts_url(
    dashboard: Dashboard, servers: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A dashboard with a button for each action, beside the other one and on the same database."""
    folder: Path = tmp_path_factory.mktemp("attempts")
    module = attempting.__name__
    with running(
        dashboard.engine, servers.redis_url, dashboard.namespace, folder, module=module
    ) as url:
        yield url


def _attempts(chromium: Browser, url: str, token: str) -> Page:
    context = chromium.new_context()
    context.add_cookies([{"name": "payspool_session", "value": token, "url": url}])
    page = context.new_page()
    page.goto(url + attempting.PATH)
    page.wait_for_function("window.socket && window.socket.connected && window.did_handshake")
    return page


def _click_all(page: Page) -> dict[str, str]:
    page.evaluate(CLICK_ALL)
    page.wait_for_function(ALL_SAID, timeout=60_000)
    said: dict[str, str] = page.evaluate(READ)
    return said


@pytest.mark.parametrize("who", sorted(house.PEOPLE))
def test_each_role_tries_each_action_over_the_websocket(
    dashboard: Dashboard, attempts_url: str, chromium: Browser, cookies: dict[str, str], who: str
) -> None:
    before = _written(dashboard)
    page = _attempts(chromium, attempts_url, cookies[who])
    said = _click_all(page)
    page.context.close()
    assert set(said) == set(ACTIONS)
    allowed = {name for name, what in said.items() if what.startswith("looked at: ")}
    assert allowed == {name for name in ATTEMPTS if may(house.PEOPLE[who], name)}
    assert all(said[name].startswith("not allowed: ") for name in set(said) - allowed)
    assert _written(dashboard) == before


def test_a_page_that_is_open_does_nothing_for_one_who_signed_out(
    dashboard: Dashboard, attempts_url: str, chromium: Browser
) -> None:
    token = sign_in(dashboard.url, "adam")
    page = _attempts(chromium, attempts_url, token)
    with transaction(dashboard.engine) as tx:
        sessions.sign_out(tx, token)
    said = _click_all(page)
    page.context.close()
    assert set(said.values()) == {"signed out"}


def test_a_page_that_is_open_does_what_its_person_may_now(
    dashboard: Dashboard, attempts_url: str, chromium: Browser
) -> None:
    with transaction(dashboard.engine) as tx:
        users.add(tx, "falls", "admin", actor=house.TESTER, password=house.PASSWORD)
    page = _attempts(chromium, attempts_url, sign_in(dashboard.url, "falls"))
    with transaction(dashboard.engine) as tx:
        users.set_role(tx, "falls", "viewer", actor=house.TESTER)
    said = _click_all(page)
    page.context.close()
    assert all(what.startswith("not allowed: ") for what in said.values())


def test_nothing_but_signing_in_and_out_is_done_over_http(dashboard: Dashboard) -> None:
    app = FastAPI()
    signing.install(app, context_of(dashboard))
    exports.install(app, context_of(dashboard))
    changing = {path for path, methods in app.openapi()["paths"].items() if set(methods) - {"get"}}
    assert changing == {"/sign-in", "/sign-out", "/link/{token}"}


@pytest.mark.parametrize("who", sorted(house.PEOPLE))
def test_each_role_tries_each_action_over_http(
    dashboard: Dashboard, cookies: dict[str, str], who: str
) -> None:
    before = _written(dashboard)
    with httpx.Client(
        base_url=dashboard.url,
        cookies={"payspool_session": cookies[who]},
        headers={"Origin": dashboard.url},
        timeout=30,
    ) as http:
        for name in ACTIONS:
            subject, verb = name.split(".")
            for path in (f"/actions/{name}", f"/m/acme/{subject}s/1/{verb}"):
                answer = http.post(path, json=_plain(ATTEMPTS[name][1]))
                assert answer.status_code in (404, 405), (path, answer.status_code)
        for path in ("/", "/dead", "/users", "/m/acme/payouts/1", "/export/audit.csv"):
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                assert http.request(method, path).status_code in (404, 405), (method, path)
    assert _written(dashboard) == before


def _plain(arguments: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in arguments.items()}
