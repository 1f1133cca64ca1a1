"""Runs, payouts and payees as the API tells of them: what was paid to whom, and why not."""

from __future__ import annotations

from typing import Any

import pytest

from domain.access import service as access
from domain.db import transaction
from tests.web.conftest import ACTOR
from tests.web.support import Api
from tests.web.treasury import PAID, build, owe, send, three_payouts


@pytest.fixture
def desk(own_api: Api) -> str:
    """A key that may look at payouts and act on them."""
    scopes = ["payouts:read", "payouts:write", "earnings:read"]
    with transaction(own_api.engine) as tx:
        return access.create(tx, own_api.merchant, "desk", scopes, actor=ACTOR)


def ask(api: Api, key: str, path: str, **query: Any) -> Any:
    answer = api.http.get(path, params=query, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(api: Api, key: str, path: str, body: Any = None) -> Any:
    return api.http.post(path, json=body, headers={"Authorization": f"Bearer {key}"})


def pages(api: Api, key: str, path: str, name: str, **query: Any) -> list[Any]:
    """Every entry, a page of two at a time."""
    found: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        page = ask(api, key, path, limit=2, **query, **cursor)
        assert len(page[name]) <= 2
        found += page[name]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


def test_payouts_are_paged_newest_first_and_narrowed_by_each_filter(
    own_api: Api, desk: str
) -> None:
    three_payouts(own_api)
    owe(own_api, "u-1", 700, currency="usd")
    build(own_api, "later", eur=500)
    everything = pages(own_api, desk, "/v1/payouts", "payouts")
    assert [one["id"] for one in everything] == [4, 3, 2, 1]
    for query, ids in (
        ({"user": "u-1"}, [4, 1]),
        ({"state": "unknown"}, [1]),
        ({"run": 1}, [3, 2, 1]),
        ({"currency": "usd"}, [4]),
        ({"method": "manual"}, []),
        ({"user": "u-1", "state": "approved"}, [4]),
    ):
        got = pages(own_api, desk, "/v1/payouts", "payouts", **query)
        assert sorted(one["id"] for one in got) == sorted(ids), query
    unknown = everything[-1]
    assert (unknown["status"], unknown["amount"], unknown["trackings"]) == ("unknown", 1000, [1])


def test_a_payout_shows_its_earnings_its_attempts_its_run_and_why(own_api: Api, desk: str) -> None:
    three_payouts(own_api)
    found = ask(own_api, desk, "/v1/payouts/1")
    assert [(one["amount"], one["source_id"]) for one in found["members"]] == [(1000, 1)]
    [attempt] = found["attempts"]
    assert (attempt["n"], attempt["state"], attempt["outcome"]) == (1, "unknown", "timeout")
    assert attempt["key"].endswith("/1/transfer/1")
    assert (found["run"]["id"], found["run"]["approved_by"]) == (1, "automatic")
    assert "with the same key until" in found["why"][-1]
    assert "Do not pay it by hand" in found["why"][-1]


def test_the_earnings_of_a_payout_are_paged(own_api: Api, desk: str) -> None:
    for amount in (100, 200, 300):
        owe(own_api, "u-1", amount)
    build(own_api)
    members = pages(own_api, desk, "/v1/payouts/1", "members")
    assert [one["amount"] for one in members] == [100, 200, 300]


def test_no_account_of_a_payee_is_shown(own_api: Api, desk: str) -> None:
    three_payouts(own_api)
    for path in ("/v1/payouts", "/v1/payouts/2", "/v1/payees", "/v1/payees/u-2", "/v1/runs/1"):
        told = str(ask(own_api, desk, path))
        assert "acct_secret" not in told, path
        assert "acct_platform" not in told, path
    assert "acct_…ret2" in ask(own_api, desk, "/v1/payouts/2")["payout"]["error_message"]


def test_a_run_says_what_it_made_and_each_whom_it_left_out(own_api: Api, desk: str) -> None:
    three_payouts(own_api)
    owe(own_api, "u-5", 30)
    owe(own_api, "u-6", 20)
    build(own_api, "later", eur=500)
    assert [one["id"] for one in pages(own_api, desk, "/v1/runs", "runs")] == [2, 1]
    assert [one["id"] for one in pages(own_api, desk, "/v1/runs", "runs", state="sending")] == [1]
    one = ask(own_api, desk, "/v1/runs/1")
    assert (one["created"], one["skipped"], one["minimums"]) == (3, 1, {"eur": 500})
    assert one["by_currency"] == {"eur": {"payouts": 3, "amount": 6000}}
    left = pages(own_api, desk, "/v1/runs/2/exclusions", "exclusions")
    assert [(x["user_id"], x["amount"], x["reason"]) for x in left] == [
        ("u-4", 40, "below_minimum"),
        ("u-5", 30, "below_minimum"),
        ("u-6", 20, "below_minimum"),
    ]


def test_payees_are_paged_with_what_is_owed_and_why_they_were_left_out(
    own_api: Api, desk: str
) -> None:
    three_payouts(own_api)
    payees = pages(own_api, desk, "/v1/payees", "payees")
    assert [one["user_id"] for one in payees] == ["u-1", "u-2", "u-3", "u-4"]
    assert payees[3]["owed"] == {"eur": 40}
    one = ask(own_api, desk, "/v1/payees/u-4")
    assert (one["ready"], one["owed"]) == (True, {"eur": 40})
    assert (one["last_exclusion"]["run_id"], one["last_exclusion"]["reason"]) == (
        1,
        "below_minimum",
    )
    assert ask(own_api, desk, "/v1/payees/u-1")["last_exclusion"] is None


def test_a_failed_payout_is_retried_and_an_unpaid_one_canceled_and_both_are_audited(
    own_api: Api, desk: str
) -> None:
    three_payouts(own_api)
    retried = post(own_api, desk, "/v1/payouts/2/retry")
    assert (retried.status_code, retried.json()["status"]) == (200, "failed")
    assert "under a new key" in retried.json()["why"][-1]
    canceled = post(own_api, desk, "/v1/payouts/3/cancel", {"reason": "her account is closed"})
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    audited = own_api.rows(
        "SELECT action, actor_kind, actor_id, subject_id, reason FROM audit_entries"
        " WHERE subject_kind = 'payout' ORDER BY id"
    )
    assert [tuple(row) for row in audited] == [
        ("payout.retried", "api_key", "acme/desk", "2", None),
        ("payout.canceled", "api_key", "acme/desk", "3", "her account is closed"),
    ]


@pytest.mark.parametrize(
    ("path", "code"), [("1/retry", "not_retryable"), ("1/cancel", "not_cancelable")]
)
def test_what_may_have_been_paid_is_neither_retried_nor_canceled(
    own_api: Api, desk: str, path: str, code: str
) -> None:
    three_payouts(own_api)
    answer = post(own_api, desk, f"/v1/payouts/{path}", {"reason": "she asks"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, code)
    assert own_api.rows("SELECT 1 FROM audit_entries WHERE subject_kind = 'payout'") == []


@pytest.mark.parametrize("reason", ["", " ", "\0", "x" * 501, None])
def test_a_cancellation_needs_a_reason(own_api: Api, desk: str, reason: str | None) -> None:
    three_payouts(own_api)
    answer = post(own_api, desk, "/v1/payouts/3/cancel", {"reason": reason})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "reason")


def test_another_merchants_runs_and_payouts_are_not_there(own_api: Api, desk: str) -> None:
    [globex] = own_api.rows("SELECT id FROM merchants WHERE key = 'globex'")
    owe(own_api, "u-9", 900, merchant=globex.id)
    build(own_api, merchant=globex.id)
    for path, code in (
        ("/v1/runs/1", "run_not_found"),
        ("/v1/runs/1/exclusions", "run_not_found"),
        ("/v1/payouts/1", "payout_not_found"),
    ):
        answer = own_api.http.get(path, headers={"Authorization": f"Bearer {desk}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)
    for path in (
        "/v1/payouts/1/retry",
        "/v1/payouts/1/cancel",
        "/v1/payouts/1/reverse",
        "/v1/payouts/77/retry",
    ):
        answer = post(own_api, desk, path, {"reason": "not mine"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "payout_not_found")
    assert ask(own_api, desk, "/v1/payouts")["payouts"] == []
    assert ask(own_api, desk, "/v1/runs")["runs"] == []
    assert ask(own_api, desk, "/v1/payees")["payees"] == []


def test_looking_needs_the_scope_to_look_and_acting_the_scope_to_act(own_api: Api) -> None:
    three_payouts(own_api)
    with transaction(own_api.engine) as tx:
        reader = access.create(tx, own_api.merchant, "r", ["payouts:read"], actor=ACTOR)
        writer = access.create(tx, own_api.merchant, "w", ["payouts:write"], actor=ACTOR)
    assert post(own_api, reader, "/v1/payouts/2/retry").status_code == 403
    assert (
        own_api.http.get("/v1/payouts", headers={"Authorization": f"Bearer {writer}"}).status_code
        == 403
    )
    assert post(own_api, writer, "/v1/payouts/2/retry").status_code == 200


def test_a_paid_payout_names_its_transaction(own_api: Api, desk: str) -> None:
    owe(own_api, "u-1", 1000)
    build(own_api)
    send(own_api, 1, PAID)
    found = ask(own_api, desk, "/v1/payouts/1")
    assert (found["payout"]["status"], found["payout"]["external_transaction_id"]) == (
        "paid",
        "tr_1",
    )
    assert any("calls it tr_1" in one for one in found["why"])


def paid(api: Api) -> None:
    """Payout 1 of 10.00, paid."""
    owe(api, "u-1", 1000)
    build(api, eur=500)
    send(api, 1, PAID)


def test_a_paid_payout_is_taken_back_in_parts_and_a_repeated_call_takes_none(
    own_api: Api, desk: str
) -> None:
    paid(own_api)
    body = {"reason": "paid by mistake", "amount": 300, "reversed_amount": 0}
    asked = post(own_api, desk, "/v1/payouts/1/reverse", body)
    assert (asked.status_code, asked.json()["status"]) == (200, "paid"), asked.text
    assert "acme/desk asked for 3.00 EUR" in " ".join(asked.json()["why"])
    again = post(own_api, desk, "/v1/payouts/1/reverse", body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "reversal_in_progress")
    [shown] = ask(own_api, desk, "/v1/payouts/1")["reversals"]
    assert (shown["n"], shown["amount"], shown["state"], shown["asked_by"]) == (
        1,
        300,
        "created",
        "acme/desk",
    )
    with transaction(own_api.engine) as tx:
        audited = tx.exec_driver_sql(
            "SELECT actor_kind, actor_id, reason FROM audit_entries WHERE action = 'payout.reversal_requested'"
        ).all()
        assert [tuple(row) for row in audited] == [("api_key", "acme/desk", "paid by mistake")]
        tx.exec_driver_sql("UPDATE reversal_requests SET state = 'failed'")
        tx.exec_driver_sql("UPDATE payouts SET reversed_amount = 300")
    again = post(own_api, desk, "/v1/payouts/1/reverse", body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "not_reversible")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": " "}, "reason"),
        ({"reason": "so", "amount": 0, "reversed_amount": 0}, "amount"),
        ({"reason": "so", "amount": 1.5, "reversed_amount": 0}, "amount"),
        ({"reason": "so", "amount": 300}, None),
        ({"reason": "so", "currency": "eur"}, "currency"),
    ],
)
def test_a_reversal_needs_a_reason_and_with_an_amount_what_came_back(
    own_api: Api, desk: str, body: Any, field: str | None
) -> None:
    paid(own_api)
    answer = post(own_api, desk, "/v1/payouts/1/reverse", body)
    assert (answer.status_code, answer.json()["error"].get("field")) == (422, field), answer.text


def test_what_was_not_paid_or_is_another_merchants_is_not_taken_back(
    own_api: Api, desk: str
) -> None:
    three_payouts(own_api)
    for payout, status, code in ((1, 409, "not_reversible"), (77, 404, "payout_not_found")):
        answer = post(own_api, desk, f"/v1/payouts/{payout}/reverse", {"reason": "so"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
