"""Dead letters and schedules over HTTP, by keys of those who operate the installation."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from domain.access import service as access
from domain.db import transaction
from domain.dead_letters import service, store
from domain.dead_letters.service import Letter
from payspool.installing import payout_schedule
from queues.dead import DeadSet
from tests.web.conftest import ACTOR
from tests.web.support import NAMESPACE, Api

SCOPES = ["dead_letters:read", "dead_letters:write", "schedules:read", "schedules:write"]
RAW = b'{"queue_name": "payouts", "actor_name": "payouts.send", "args": [], "kwargs": {"payout_id": 7}}'
NAME = "payouts.run/acme"


@pytest.fixture
def key(own_api: Api) -> str:
    with transaction(own_api.engine) as tx:
        return access.create(tx, own_api.merchant, "desk", SCOPES, actor=ACTOR)


def letters(api: Api, *names: str, reason: str = "KeyError: 'ada'") -> list[int]:
    with transaction(api.engine) as tx:
        for name in names:
            args = '{"args": [], "kwargs": {"payout_id": 7}}'
            made = Letter(
                "payouts", name, "payouts.send", args, RAW, reason, "Traceback", 3, 0, None
            )
            service.record(tx, made)
        rows = tx.execute(text("SELECT id FROM dead_letters ORDER BY id")).scalars()
        return list(rows)[-len(names) :]


def call(api: Api, key: str, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return api.http.request(method, path, headers=headers, **options)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error"]["code"])


def test_letters_are_listed_page_by_page_without_what_they_say(own_api: Api, key: str) -> None:
    made = letters(own_api, "r-1", "r-2", "r-3")
    first = call(own_api, key, "GET", "/v1/dead_letters?limit=2").json()
    assert [one["id"] for one in first["dead_letters"]] == made[:0:-1]
    second = call(own_api, key, "GET", f"/v1/dead_letters?before={first['next']}").json()
    assert [one["id"] for one in second["dead_letters"]] == made[:1]
    assert second["next"] is None
    assert "payout_id" not in str(first)
    assert "Traceback" not in str(first)
    shown = call(own_api, key, "GET", f"/v1/dead_letters/{made[0]}").json()
    assert (shown["trace"], "payout_id" in shown["args"]) == ("Traceback", True)
    for query, found in (
        ("text=ada", 3),
        ("text=nobody", 0),
        ("queue=sweeps", 0),
        ("state=retried", 0),
    ):
        listed = call(own_api, key, "GET", f"/v1/dead_letters?{query}").json()
        assert (len(listed["dead_letters"]), listed["next"]) == (found, None), query
    assert refusal(call(own_api, key, "GET", "/v1/dead_letters/99")) == (
        404,
        "dead_letter_not_found",
    )
    for bad in ("text=%00", "queue=a b", "state=lost", "before=0", "limit=201"):
        assert call(own_api, key, "GET", f"/v1/dead_letters?{bad}").status_code == 422, bad


def test_a_search_of_text_goes_on_where_a_page_ended(
    own_api: Api, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [found] = letters(own_api, "r-1", reason="a needle")
    letters(own_api, "r-2", "r-3")
    monkeypatch.setattr(store, "LOOKED_THROUGH", 2)
    first = call(own_api, key, "GET", "/v1/dead_letters?text=needle").json()
    assert first["dead_letters"] == []
    on = call(own_api, key, "GET", f"/v1/dead_letters?text=needle&before={first['next']}").json()
    assert [one["id"] for one in on["dead_letters"]] == [found]
    assert on["next"] is None


def test_a_letter_is_retried_once_and_its_message_is_on_its_queue(own_api: Api, key: str) -> None:
    [letter] = letters(own_api, "r-1")
    path = f"/v1/dead_letters/{letter}"
    done = call(
        own_api, key, "POST", f"{path}/retry", json={"reason": "the fix is deployed"}
    ).json()
    assert (done["state"], done["decided_by"]) == ("retried", "acme/desk")
    with own_api.valkey.client() as client:
        assert client.lrange(f"{NAMESPACE}:payouts", 0, -1) == [done["retried_as"].encode()]
        assert b"payouts.send" in (
            client.hget(f"{NAMESPACE}:payouts.msgs", done["retried_as"]) or b""
        )
    for verb in ("retry", "discard"):
        again = call(own_api, key, "POST", f"{path}/{verb}", json={"reason": "again"})
        assert refusal(again) == (409, "not_allowed")
        assert "retried by acme/desk already" in again.text
    [entry] = own_api.rows(
        "SELECT actor_kind, actor_id, reason FROM audit_entries WHERE action = 'dead_letter.retried'"
    )
    assert tuple(entry) == ("api_key", "acme/desk", "the fix is deployed")


def test_a_letter_is_discarded_with_a_reason_alone(own_api: Api, key: str) -> None:
    [letter] = letters(own_api, "r-1")
    path = f"/v1/dead_letters/{letter}/discard"
    for body in ({}, {"reason": " "}, {"reason": "x" * 501}, {"reason": "x", "more": 1}):
        assert call(own_api, key, "POST", path, json=body).status_code == 422, body
    with own_api.valkey.client() as client:
        client.zadd(f"{NAMESPACE}:payouts.XQ", {"r-1": 1})
        client.hset(f"{NAMESPACE}:payouts.XQ.msgs", "r-1", RAW)
        done = call(own_api, key, "POST", path, json={"reason": "a broken script"}).json()
        assert done["state"] == "discarded"
        assert DeadSet(client, NAMESPACE, "payouts").raw("r-1") is None


def test_a_schedule_is_fired_paused_and_resumed_in_its_merchants_audit(
    own_api: Api, key: str
) -> None:
    with transaction(own_api.engine) as tx:
        payout_schedule(tx, own_api.merchant, {"usd": 1_000}, "0 6 1 * *")
    [listed] = call(own_api, key, "GET", "/v1/schedules").json()["schedules"]
    assert (listed["name"], listed["cron"], listed["paused_at"]) == (NAME, "0 6 1 * *", None)
    path = f"/v1/schedules/{NAME}"
    fired = call(own_api, key, "POST", f"{path}/run")
    assert fired.status_code == 202
    assert own_api.rows("SELECT manual, state FROM schedule_fires") == [(True, "emitted")]
    assert len(own_api.rows("SELECT FROM outbox WHERE actor = 'payouts.run'")) == 1
    paused = call(own_api, key, "POST", f"{path}/pause", json={"reason": "bank holiday"}).json()
    assert (paused["paused_by"], paused["pause_reason"]) == ("acme/desk", "bank holiday")
    resumed = call(own_api, key, "POST", f"{path}/resume").json()
    assert (resumed["paused_by"], resumed["paused_at"]) == (None, None)
    entries = own_api.rows(
        "SELECT action, merchant_id, before FROM audit_entries WHERE action LIKE 'schedule.%' ORDER BY id"
    )
    assert [one.action for one in entries] == [
        "schedule.run_now",
        "schedule.paused",
        "schedule.resumed",
    ]
    assert {one.merchant_id for one in entries} == {own_api.merchant.id}
    assert entries[-1].before == {"paused_by": "acme/desk", "pause_reason": "bank holiday"}
    for verb, body in (("run", {}), ("pause", {"reason": "none"}), ("resume", {})):
        answer = call(own_api, key, "POST", f"/v1/schedules/nope/x/{verb}", json=body)
        assert refusal(answer) == (404, "schedule_not_found")


def test_a_held_clock_fires_nothing(own_api: Api, key: str) -> None:
    with transaction(own_api.engine) as tx:
        payout_schedule(tx, own_api.merchant, {"usd": 1_000}, "0 6 1 * *")
        tx.execute(
            text(
                "INSERT INTO scheduler_clock (id, ticked_at, boot, elapsed_seconds, held_at, jump_seconds)"
                " VALUES (1, now(), 'b', 1, now(), 999)"
            )
        )
    answer = call(own_api, key, "POST", f"/v1/schedules/{NAME}/run")
    assert refusal(answer) == (409, "clock_held")
    assert own_api.rows("SELECT FROM schedule_fires") == []
