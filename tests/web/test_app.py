from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from html import unescape
from typing import Any

import pytest
from sqlalchemy import text
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from domain.db import Tx
from domain.inbox import service as inbox
from tests.web.support import SECRET, Api, event
from web.stripe_signature import sign


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/events/", 404, "not_found"),
        ("GET", "/v2/events", 404, "not_found"),
        ("DELETE", "/v1/events", 405, "method_not_allowed"),
        ("GET", "/v1/webhooks/stripe/acme", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/v1/events", 401, "missing_key"),
    ],
)
def test_every_error_has_the_one_shape(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    answer = api.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"].keys() <= {"code", "message", "field", "request_id"}
    assert answer.json()["error"]["request_id"] == answer.headers["X-Request-Id"]
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_request_id_is_echoed_or_made(api: Api) -> None:
    echoed = api.http.get("/healthz", headers={"X-Request-Id": "till-7:42.a_b"})
    assert echoed.headers["X-Request-Id"] == "till-7:42.a_b"
    for bad in ("", "x" * 129, "a b", 'x"'):
        made = api.http.get("/nowhere", headers={"X-Request-Id": bad})
        assert re.fullmatch("[0-9a-f]{32}", made.headers["X-Request-Id"])
    ids = {api.http.get("/healthz").headers["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_bug_is_told_by_its_request_id_and_not_by_its_stack(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(inbox, "status", broken)
    headers = {"Authorization": f"Bearer {api.read_key}", "X-Request-Id": "r-1"}
    with capture_logs(processors=[merge_contextvars]) as logs:
        answer = api.http.get("/v1/events?source=s&id=1", headers=headers)
    assert answer.status_code == 500
    assert answer.headers["X-Request-Id"] == "r-1"
    assert answer.json()["error"]["code"] == "internal_error"
    assert "r-1" in answer.json()["error"]["message"]
    assert "secret detail" not in answer.text
    (logged,) = logs
    assert logged["request_id"] == "r-1"
    assert "ZeroDivisionError: secret detail" in logged["exception"]


def test_a_bug_is_logged_without_the_row_that_failed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = "jane@private.example"

    def broken(tx: Tx, *_: Any, **__: Any) -> None:
        tx.execute(
            text("CREATE TEMPORARY TABLE people (name text CHECK (name = '')) ON COMMIT DROP")
        )
        tx.execute(text("INSERT INTO people VALUES (:name)"), {"name": private})

    monkeypatch.setattr(inbox, "status", broken)
    with capture_logs() as logs:
        assert api.status("s", "1").status_code == 500
    (logged,) = logs
    assert 'violates check constraint "people_name_check"' in logged["exception"]
    assert private not in repr(logged)


def document(api: Api) -> dict[str, Any]:
    read: dict[str, Any] = api.http.get("/openapi.json").json()
    return read


def test_every_operation_is_documented_with_its_answers_by_example(api: Api) -> None:
    described = document(api)
    operations = {
        (method, path): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    assert operations.keys() == {
        ("post", "/v1/events"),
        ("get", "/v1/events"),
        ("post", "/v1/loyalty/cards"),
        ("get", "/v1/loyalty/cards/{card}"),
        ("get", "/v1/loyalty/cards/{card}/transactions"),
        ("get", "/v1/loyalty/notices"),
        ("get", "/v1/loyalty/tier-changes"),
        ("get", "/v1/loyalty/reports"),
        ("post", "/v1/loyalty/cards/{card}/earn"),
        ("post", "/v1/loyalty/cards/{card}/redeem"),
        ("post", "/v1/loyalty/cards/{card}/hold"),
        ("post", "/v1/loyalty/cards/{card}/capture"),
        ("post", "/v1/loyalty/cards/{card}/release"),
        ("post", "/v1/loyalty/cards/{card}/void"),
        ("post", "/v1/loyalty/cards/{card}/adjust"),
        ("post", "/v1/loyalty/cards/{card}/deactivate"),
        ("post", "/v1/loyalty/cards/{card}/reactivate"),
        ("get", "/v1/loyalty/velocity-cases"),
        ("post", "/v1/loyalty/velocity-cases/{case_id}/release"),
        ("post", "/v1/loyalty/velocity-cases/{case_id}/reject"),
        ("get", "/v1/loyalty/velocity-policies"),
        ("post", "/v1/loyalty/velocity-policies"),
        ("get", "/v1/loyalty/stores"),
        ("post", "/v1/loyalty/stores"),
        ("post", "/v1/loyalty/stores/{store}/change"),
        ("get", "/v1/loyalty/pins"),
        ("post", "/v1/loyalty/pins"),
        ("post", "/v1/loyalty/pins/{pin}/change"),
        ("get", "/v1/loyalty/devices"),
        ("post", "/v1/loyalty/devices"),
        ("post", "/v1/loyalty/devices/{device}/change"),
        ("post", "/v1/loyalty/devices/pair"),
        ("post", "/v1/loyalty/cards/{card}/merge"),
        ("post", "/v1/loyalty/cards/{card}/restore"),
        ("get", "/v1/loyalty/cards/{card}/rewards"),
        ("get", "/v1/webhook_endpoints"),
        ("post", "/v1/webhook_endpoints"),
        ("get", "/v1/webhook_endpoints/{endpoint}"),
        ("post", "/v1/webhook_endpoints/{endpoint}"),
        ("post", "/v1/webhook_endpoints/{endpoint}/roll"),
        ("post", "/v1/webhook_endpoints/{endpoint}/disable"),
        ("post", "/v1/webhook_endpoints/{endpoint}/enable"),
        ("post", "/v1/webhook_endpoints/{endpoint}/remove"),
        ("post", "/v1/webhook_endpoints/{endpoint}/test"),
        ("post", "/v1/webhook_endpoints/{endpoint}/resend"),
        ("get", "/v1/webhook_deliveries"),
        ("get", "/v1/webhook_deliveries/{delivery}"),
        ("post", "/v1/webhook_deliveries/{delivery}/resend"),
        ("get", "/v1/users/{user}/earnings"),
        ("get", "/v1/payees"),
        ("get", "/v1/payees/{user}"),
        ("get", "/v1/runs"),
        ("post", "/v1/runs"),
        ("post", "/v1/runs/preview"),
        ("post", "/v1/runs/{run_id}/approve"),
        ("post", "/v1/runs/{run_id}/reject"),
        ("get", "/v1/runs/{run_id}"),
        ("get", "/v1/runs/{run_id}/exclusions"),
        ("get", "/v1/payouts"),
        ("get", "/v1/payouts/{payout_id}"),
        ("post", "/v1/payouts/{payout_id}/retry"),
        ("post", "/v1/payouts/{payout_id}/cancel"),
        ("post", "/v1/payouts/{payout_id}/reverse"),
        ("get", "/v1/programs"),
        ("post", "/v1/programs"),
        ("post", "/v1/programs/{program}/change"),
        ("post", "/v1/programs/{program}/status"),
        ("get", "/v1/programs/{program}/statistics"),
        ("post", "/v1/programs/{program}/copy"),
        ("get", "/v1/codes"),
        ("post", "/v1/codes/bulk"),
        ("post", "/v1/codes/{code}/status"),
        ("get", "/v1/hold-policies"),
        ("post", "/v1/hold-policies"),
        ("post", "/v1/codes"),
        ("get", "/v1/codes/{code}/validate"),
        ("get", "/v1/holds"),
        ("post", "/v1/holds/{hold_id}/release"),
        ("post", "/v1/holds/{hold_id}/reject"),
        ("get", "/v1/users/{user}/trackings"),
        ("get", "/v1/trackings/{tracking_id}"),
        ("get", "/v1/queues"),
        ("post", "/v1/queues/{queue}/pause"),
        ("post", "/v1/queues/{queue}/resume"),
        ("get", "/v1/workers"),
        ("get", "/v1/dead_letters"),
        ("get", "/v1/dead_letters/{letter}"),
        ("post", "/v1/dead_letters/{letter}/retry"),
        ("post", "/v1/dead_letters/{letter}/discard"),
        ("get", "/v1/schedules"),
        ("post", "/v1/schedules/{name}/run"),
        ("post", "/v1/schedules/{name}/pause"),
        ("post", "/v1/schedules/{name}/resume"),
        ("post", "/v1/webhooks/stripe/{merchant_key}"),
        ("post", "/v1/webhooks/wise/{merchant_key}"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/v1/loyalty/tier-notices"),
    }
    (scheme,) = described["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for (method, path), operation in operations.items():
        open_to_all = path.startswith(("/v1/webhooks/", "/healthz", "/readyz")) or (
            path == "/v1/loyalty/devices/pair"
        )
        assert ("security" in operation) != open_to_all, (method, path)
        for status, response in operation["responses"].items():
            content = response["content"]["application/json"]
            assert "example" in content, (path, status)
            assert (int(status) >= 400) == ("error" in content["example"]), (path, status)
        if method == "post":
            for content in operation.get("requestBody", {"content": {}})["content"].values():
                assert "example" in content or content["examples"]
    assert "HTTPValidationError" not in described["components"]["schemas"]


def test_every_documented_request_works(own_api: Api) -> None:
    paths = document(own_api)["paths"]
    for kind, content in paths["/v1/events"]["post"]["requestBody"]["content"].items():
        for one in content["examples"].values():
            answer = own_api.post(one["value"], kind=kind)
            assert (kind, answer.status_code) == (kind, 202)
            assert answer.json()["accepted"] >= 1
    own_api.apply_queued()
    parameters = paths["/v1/events"]["get"]["parameters"]
    asked = {one["name"]: one["schema"].get("examples", [None])[0] for one in parameters}
    assert own_api.status(asked["source"], asked["id"]).status_code == 200

    webhook = paths["/v1/webhooks/stripe/{merchant_key}"]["post"]
    body = json.dumps(webhook["requestBody"]["content"]["application/json"]["example"]).encode()
    at = int(time.time())
    header = {"Stripe-Signature": f"t={at},v1={sign(body, SECRET, at)}"}
    answer = own_api.http.post("/v1/webhooks/stripe/acme", content=body, headers=header)
    assert answer.status_code == 200


def test_what_is_answered_has_the_documented_fields(api: Api) -> None:
    described = document(api)
    responses = described["paths"]["/v1/events"]["post"]["responses"]
    bad = event(2, type="coupon.used")
    for body in ([event(1)], [event(1), bad], [bad], "hello"):
        answer = api.post(body)
        shown = responses[str(answer.status_code)]["content"]["application/json"]["example"]
        assert shown.keys() <= answer.json().keys()
        if "results" in shown:
            assert shown["results"][0].keys() == answer.json()["results"][0].keys()


def test_the_page_for_people_shows_every_operation_and_loads_nothing(api: Api) -> None:
    answer = api.http.get("/docs")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    said = answer.text.replace("https://shop.example.com/hooks", "")  # an example, shown as text
    assert not re.search(r"<script|<link|src=|https?://", said)
    shown = unescape(answer.text)
    for path, methods in document(api)["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in shown
            assert operation["summary"] in shown
    assert '"id": "ord-1881/paid"' in shown


def test_importing_the_api_touches_no_server_and_loads_nothing_heavy() -> None:
    program = """
import socket, sys
def refuse(*_): raise AssertionError("a connection at import")
socket.socket.connect = refuse
import web.app
print([name for name in ("stripe", "pandas", "numpy", "nicegui", "alembic", "payspool", "workers", "sandbox") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
