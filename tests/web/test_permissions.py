"""Each route of the API against each scope: a route that nobody gave a permission fails here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from domain.access import service as access
from domain.access.service import SCOPES
from domain.db import connect, transaction
from domain.secrets import SecretBox, new_key
from tests.web.conftest import ACTOR
from tests.web.permissions import OPEN, READS, SCOPE_OF
from tests.web.support import Api
from web.app import create_app
from web.context import ApiContext

VALUES = {
    "merchant_key": "acme",
    "run_id": "1",
    "payout_id": "1",
    "hold_id": "1",
    "tracking_id": "1",
}
"""What stands in a path; any other part may be any text."""


def _routes() -> Iterator[str]:
    nowhere = ApiContext(
        engine=connect("postgresql+psycopg://nowhere/none"),
        redis_url="redis://nowhere:1",
        namespace="none",
        box=SecretBox([new_key()]),
        revision="none",
    )
    for route in _flat(create_app(nowhere).routes):
        for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
            yield f"{method} {route.path}"


def _flat(routes: Sequence[Any]) -> Iterator[APIRoute | Route]:
    for route in routes:
        if hasattr(route, "original_router"):
            yield from _flat(route.original_router.routes)
        else:
            assert isinstance(route, APIRoute | Route), f"{route}: what is mounted is not seen here"
            yield route


ROUTES = sorted(_routes())
GUARDED = sorted(SCOPE_OF)


def ask(api: Api, route: str, key: str | None) -> httpx.Response:
    method, path = route.split(" ", 1)
    filled = re.sub(r"\{(\w+)(:\w+)?\}", lambda part: VALUES.get(part[1], "none"), path)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    if method == "GET":
        return api.http.get(filled, headers=headers)
    return api.http.request(method, filled, headers=headers, json={})


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"]) if answer.status_code >= 400 else ""


def key_of(api: Api, scopes: list[str]) -> str:
    with transaction(api.engine) as tx:
        return access.create(tx, api.merchant, "made for a test", scopes, actor=ACTOR)


def done(api: Api) -> tuple[list[object], list[object]]:
    """What a request would leave behind: what is queued, and what the database has of people and money."""
    tables = ("audit_entries", "outbox", "payout_runs", "codes", "programs", "cards")
    counts = [f"(SELECT count(*) FROM {name})" for name in tables]
    return list(api.valkey.queued()), list(api.rows(f"SELECT {', '.join(counts)}")[0])


def test_every_route_has_a_scope_or_is_open_for_a_reason() -> None:
    assert sorted({*SCOPE_OF, *OPEN}) == ROUTES, (
        "tests/web/permissions.py says what each route needs"
    )
    assert not set(SCOPE_OF) & set(OPEN)
    assert all(OPEN.values())
    assert set(SCOPE_OF.values()) == set(SCOPES), "no scope is for nothing"


def test_what_changes_something_needs_more_than_reading() -> None:
    changes = [route for route in GUARDED if not route.startswith("GET ") and route not in READS]
    assert {SCOPE_OF[route] for route in changes} <= {
        one for one in SCOPES if not one.endswith(":read")
    }
    reads = [route for route in GUARDED if route.startswith("GET ") or route in READS]
    assert {SCOPE_OF[route] for route in reads} <= {one for one in SCOPES if one.endswith(":read")}


@pytest.mark.parametrize("route", GUARDED)
def test_a_route_asks_for_a_key(api: Api, route: str) -> None:
    answer = ask(api, route, None)
    assert (answer.status_code, code(answer)) == (401, "missing_key")


def test_a_viewers_key_changes_nothing_on_any_route(own_api: Api) -> None:
    viewer = key_of(own_api, [scope for scope in SCOPES if scope.endswith(":read")])
    before = done(own_api)
    for route in GUARDED:
        answer = ask(own_api, route, viewer)
        if SCOPE_OF[route].endswith(":read"):
            assert code(answer) != "missing_scope", route
        else:
            assert (answer.status_code, code(answer)) == (403, "missing_scope"), route
            assert SCOPE_OF[route] in answer.json()["error"]["message"]
    assert done(own_api) == before


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_its_own_routes_and_no_other(own_api: Api, scope: str) -> None:
    only = key_of(own_api, [scope])
    others = key_of(own_api, [one for one in SCOPES if one != scope])
    for route in GUARDED:
        opens = SCOPE_OF[route] == scope
        assert (code(ask(own_api, route, only)) != "missing_scope") is opens, route
        if opens:
            assert code(ask(own_api, route, others)) == "missing_scope", route
