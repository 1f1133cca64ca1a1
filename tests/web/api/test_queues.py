"""Queues over HTTP: looked at, paused and resumed, by keys that may."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from domain.access import service as access
from domain.db import transaction
from tests.web.conftest import ACTOR
from tests.web.support import Api


@pytest.fixture
def key(own_api: Api) -> str:
    with transaction(own_api.engine) as tx:
        scopes = ["queues:read", "queues:write"]
        return access.create(tx, own_api.merchant, "desk", scopes, actor=ACTOR)


def call(api: Api, key: str, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return api.http.request(method, path, headers=headers, **options)


def queue(api: Api, key: str, name: str) -> dict[str, Any]:
    found = call(api, key, "GET", "/v1/queues").json()["queues"]
    [one] = [one for one in found if one["queue"] == name]
    return dict(one)


def test_every_queue_is_told_with_what_waits_on_it(own_api: Api, key: str) -> None:
    assert queue(own_api, key, "payouts")["ready"] == 0
    event = {
        "specversion": "1.0",
        "id": "o-1",
        "source": "shop",
        "merchant": own_api.merchant.key,
        "type": "conversion.recorded",
        "time": "2026-11-20T09:30:00Z",
        "data": {"referred_user_id": "u-1", "amount": 100},
    }
    headers = {"Authorization": f"Bearer {own_api.key}"}
    assert own_api.http.post("/v1/events", json=event, headers=headers).status_code == 202
    found = queue(own_api, key, "events")
    assert (found["ready"], found["in_flight"], found["dead"], found["paused"]) == (1, 0, 0, None)
    assert found["oldest_seconds"] >= 0


def test_a_queue_is_paused_with_a_reason_once_and_resumed(own_api: Api, key: str) -> None:
    path = "/v1/queues/payouts"
    made = call(own_api, key, "POST", f"{path}/pause", json={"reason": "the bank calls"})
    assert (made.status_code, made.json()["by"]) == (200, "acme/desk")
    assert queue(own_api, key, "payouts")["paused"] == made.json()
    again = call(own_api, key, "POST", f"{path}/pause", json={"reason": "?"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_paused")
    assert "the bank calls" in again.json()["error"]["message"]
    assert call(own_api, key, "POST", f"{path}/resume").json() == made.json()
    assert queue(own_api, key, "payouts")["paused"] is None
    twice = call(own_api, key, "POST", f"{path}/resume")
    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "not_paused")
    with transaction(own_api.engine) as tx:
        told = tx.execute(
            text("SELECT action, actor_id, reason FROM audit_entries WHERE subject_kind = 'queue'")
        )
        assert [tuple(row) for row in told] == [
            ("queue.paused", "acme/desk", "the bank calls"),
            ("queue.resumed", "acme/desk", None),
        ]


@pytest.mark.parametrize(
    ("path", "options", "status", "code"),
    [
        ("payout/pause", {"json": {"reason": "x"}}, 404, "queue_not_found"),
        ("payouts/pause", {"json": {"reason": " "}}, 422, "invalid_request"),
        ("payouts/pause", {"json": {"reason": "x" * 501}}, 422, "invalid_request"),
        ("payouts/pause", {"json": {"why": "x"}}, 422, "invalid_request"),
        ("payouts/pause", {"content": b"{"}, 415, "unsupported_media_type"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_stands_still(
    own_api: Api, key: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = call(own_api, key, "POST", f"/v1/queues/{path}", **options)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert queue(own_api, key, "payouts")["paused"] is None


def test_a_producers_key_neither_sees_nor_stops_queues(own_api: Api) -> None:
    for method, path in (
        ("GET", "/v1/queues"),
        ("GET", "/v1/workers"),
        ("POST", "/v1/queues/payouts/resume"),
    ):
        answer = call(own_api, own_api.key, method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")


def test_without_workers_none_is_told(own_api: Api, key: str) -> None:
    assert call(own_api, key, "GET", "/v1/workers").json() == {"workers": []}
