"""The OpenAPI document: its examples are valid, are what the API really takes and answers, and it is kept."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from sqlalchemy import text

from domain.access import service as access
from domain.db import Tx, transaction
from domain.dead_letters import service as dead_letters
from domain.dead_letters.service import Letter
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, parse
from domain.loyalty import service as loyalty
from domain.loyalty.service import shops, velocity_desk
from domain.webhooks import delivery_store
from payspool.installing import payout_schedule
from tests.domain.webhooks.ear import listen
from tests.web.conftest import ACTOR
from tests.web.support import SECRET, WISE_PRIVATE_KEY, Api, event, sign_as_wise
from tests.web.treasury import sixth_paid, three_payouts, two_holds, two_that_wait
from web.api.answers import REQUEST_ID
from web.describe import as_text, document
from web.stripe_signature import sign

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
DOCUMENT = document()
NDJSON = "application/x-ndjson"
#: What every operation that needs a key may answer.
WITH_KEY = {"400", "401", "403", "422", "429", "500", "503"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


OPERATIONS = list(operations())
NAMES = [f"{method.upper()} {path}" for method, path, _ in OPERATIONS]


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    whole = schema | {"components": DOCUMENT["components"]}
    checker = FormatChecker()
    return [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(whole, format_checker=checker).iter_errors(value)
    ]


def shown(content: dict[str, Any]) -> list[Any]:
    if "example" in content:
        return [content["example"]]
    return [one["value"] for one in content["examples"].values()]


def test_the_kept_document_is_what_the_api_says() -> None:
    kept = (REFERENCE / "openapi.json").read_text(encoding="utf-8")
    assert kept == as_text(DOCUMENT), "`make openapi` writes it anew"


LONG_AGO = "2026-01-05T09:30:00Z"


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_every_operation_says_what_it_does_takes_and_answers(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    assert operation["summary"]
    assert len(operation["description"]) > 40
    assert operation["tags"]
    for parameter in operation.get("parameters", []):
        if parameter["in"] != "header":
            assert parameter["description"], parameter["name"]
    answered = set(operation["responses"])
    if "security" in operation:
        assert answered >= WITH_KEY
    if "requestBody" in operation:
        assert answered >= {"408", "413", "415"} or path.startswith("/v1/webhooks")
        assert operation["requestBody"]["description"]
    for status, response in operation["responses"].items():
        assert response["description"], status
        if status in ("429", "503") and path != "/readyz":
            assert response["headers"]["Retry-After"]["required"]
    assert method in ("get", "post")


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_every_example_is_valid(method: str, path: str, operation: dict[str, Any]) -> None:
    for kind, content in operation.get("requestBody", {"content": {}})["content"].items():
        examples = shown(content)
        assert examples, kind
        for value in examples:
            assert errors(content["schema"], value) == [], kind
    for status, response in operation["responses"].items():
        for content in response["content"].values():
            assert errors(content["schema"], content["example"]) == [], status
            if int(status) >= 400:
                assert content["example"]["error"]["request_id"] == REQUEST_ID


@pytest.fixture
def ready(own_api: Api) -> tuple[Api, str]:
    """A shop where the examples can happen, and a key that may do everything."""
    three_payouts(own_api)
    two_that_wait(own_api)
    sixth_paid(own_api)
    two_holds(own_api)
    three_endpoints(own_api)
    with transaction(own_api.engine) as tx:
        loyalty.create_program(
            tx,
            own_api.merchant.id,
            "points",
            name="Points",
            currency="eur",
            welcome_bonus=50,
            backdating_days=3650,
        )
        two_more_cards(tx, own_api)
        two_too_fast(tx, own_api)
        a_shop(tx, own_api)
        two_letters(tx)
        payout_schedule(tx, own_api.merchant, {"usd": 1_000}, "0 6 1 * *", "Europe/Berlin")
        return own_api, access.create(tx, own_api.merchant, "all", access.SCOPES, actor=ACTOR)


def two_too_fast(tx: Tx, api: Api) -> None:
    """Two earns from an address that had one already."""
    limit = {"per": "address", "what": "earn", "minutes": 60, "count": 1, "then": "hold"}
    velocity_desk.set_policy(tx, api.merchant.id, "points", [limit], actor=ACTOR)
    data = {"card": "4006381333948", "points": 5, "ip_address": "203.0.113.7"}
    said = [
        json.dumps(event(n, type="loyalty.points_earned", source="fast", time=LONG_AGO, data=data))
        for n in range(3)
    ]
    parsed = parse([Delivery("fast", n, one) for n, one in enumerate(said)])
    assert [one.status for one in inbox.apply(tx, parsed)] == ["applied", "rejected", "rejected"]


def a_shop(tx: Tx, api: Api) -> None:
    """A store with Ann, a tablet, and another tablet that waits for its code."""
    shops.add_store(tx, api.merchant, "berlin-1", name="Berlin", actor=ACTOR)
    shops.add_pin(tx, api.merchant, "berlin-1", "ann", "4711", name="Ann", actor=ACTOR)
    shops.add_device(tx, api.merchant, "berlin-1", "tablet-1", name="Left", actor=ACTOR)
    shops.offer_pairing(tx, api.merchant, "berlin-1", "tablet-2", name="Right", actor=ACTOR)
    tx.execute(
        text(
            "UPDATE terminal_devices SET pairing_hash = sha256('K7WQ3MZP9A') WHERE key = 'tablet-2'"
        )
    )


def two_letters(tx: Tx) -> None:
    """Messages that a queue gave up on."""
    raw = b'{"queue_name": "payouts", "actor_name": "payouts.send", "args": [], "kwargs": {"payout_id": 7}}'
    for name in ("r-1", "r-2"):
        args = '{"args": [], "kwargs": {"payout_id": 7}}'
        why = "KeyError: 'account'"
        dead_letters.record(
            tx, Letter("payouts", name, "payouts.send", args, raw, why, "Traceback", 12, 0, None)
        )


def three_endpoints(api: Api) -> None:
    """Where webhooks go, and one that failed."""
    with transaction(api.engine) as tx:
        for _ in range(3):
            listen(tx, api.merchant.id, "webhook.test")
        delivery_store.insert_for(tx, 1, api.merchant.id, "webhook.test", {"endpoint": 1})
        delivery_store.settle(tx, 1, 0, "failed", 500, "answered 500")


def two_more_cards(tx: Tx, api: Api) -> None:
    """A second card to merge into, and one of an old program whose points expired."""
    merchant = api.merchant.id
    week = [{"kind": "rolling", "days": 7}]
    loyalty.create_program(
        tx, merchant, "old", name="Old", currency="eur", backdating_days=3650, expiration=week
    )
    events = [
        ("card_created", {"card": "4006381333948", "customer_id": "u-43", "program": "points"}),
        ("card_created", {"card": "4006381333955", "customer_id": "u-44", "program": "old"}),
        ("points_earned", {"card": "4006381333955", "points": 90}),
    ]
    said = [
        json.dumps(event(n, type=f"loyalty.{kind}", source="desk", time=LONG_AGO, data=data))
        for n, (kind, data) in enumerate(events)
    ]
    deliveries = [Delivery("cards", n, one) for n, one in enumerate(said)]
    assert {one.status for one in inbox.apply(tx, parse(deliveries))} == {"applied"}
    loyalty.set_status(tx, merchant, "old", "ended")


def test_every_example_of_a_request_works_and_is_answered_as_described(
    ready: tuple[Api, str],
) -> None:
    api, key = ready
    tried = set()
    # What is posted is there for what is read.
    for method, path, operation in sorted(OPERATIONS, key=lambda one: _order(one[1], one[0])):
        for kind, body in _bodies(operation):
            headers = {"Authorization": f"Bearer {key}", "Content-Type": kind}
            if path.startswith("/v1/webhooks/"):
                at = int(time.time())
                headers["Stripe-Signature"] = f"t={at},v1={sign(body, SECRET, at)}"
                headers["X-Signature-SHA256"] = sign_as_wise(body)
            answer = api.http.request(
                method.upper(),
                _filled(path, operation),
                params=_query(operation),
                content=body,
                headers=headers,
            )
            assert answer.is_success, (method, path, answer.text)
            described = operation["responses"][str(answer.status_code)]
            schema = described["content"]["application/json"]["schema"]
            assert errors(schema, answer.json()) == [], (method, path)
            example = described["content"]["application/json"]["example"]
            assert answer.json().keys() == example.keys()
            tried.add((method, path))
        if path == "/v1/events" and method == "post":
            api.apply_queued()
    assert len(tried) == len(OPERATIONS)


def _order(path: str, method: str) -> tuple[int, str]:
    cards = "/v1/loyalty/cards"
    steps = ["/v1/events", cards, f"{cards}/{{card}}/earn", f"{cards}/{{card}}/hold"]
    place = steps.index(path) if method == "post" and path in steps else len(steps)
    return place, path if method == "post" else f"~{path}"


def _bodies(operation: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    if "requestBody" not in operation:
        yield "application/json", b""
        return
    for kind, content in operation["requestBody"]["content"].items():
        for value in shown(content):
            text = value if isinstance(value, str) else json.dumps(value)
            yield kind, text.encode()


def _filled(path: str, operation: dict[str, Any]) -> str:
    for one in operation.get("parameters", []):
        if one["in"] == "path":
            name = "{" + one["name"] + "}"
            path = path.replace(name, str(one["schema"]["examples"][0]))
    return path


def _query(operation: dict[str, Any]) -> dict[str, str]:
    return {
        one["name"]: one["schema"]["examples"][0]
        for one in operation.get("parameters", [])
        if one["in"] == "query" and "examples" in one["schema"]
    }


def test_the_page_about_http_has_a_section_with_a_command_for_each_operation() -> None:
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    sections = re.split(r"^##+ ", page, flags=re.MULTILINE)[1:]
    titles = {section.split("\n", 1)[0].strip("` "): section for section in sections}
    for name in NAMES:
        assert name in titles, f"docs/reference/http.md has no section `{name}`"
        assert "curl " in titles[name], name


def test_the_page_names_every_code_that_an_error_can_have() -> None:
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    named = {
        code
        for _, _, operation in OPERATIONS
        for response in operation["responses"].values()
        for code in re.findall(r"`([a-z]+_[a-z_]+)`", response["description"])
    } - {"mode"}
    missing = sorted(code for code in named if f"`{code}`" not in page)
    assert missing == []


def test_the_table_of_errors_has_every_code_that_the_api_answers_with() -> None:
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    table = page.partition("## Errors")[2].partition("## Limits")[0]
    web = Path(__file__).resolve().parents[2] / "web"
    sources = " ".join(file.read_text(encoding="utf-8") for file in web.rglob("*.py"))
    codes = set(re.findall(r'ApiError\(\s*\d+,\s*"([a-z_]+)"', sources))
    assert {"report_too_large", "device_mismatch", "not_allowed"} <= codes
    assert sorted(code for code in codes if f"`{code}`" not in table) == []


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl")
def test_every_command_of_the_page_works(ready: tuple[Api, str], tmp_path: Path) -> None:
    api, key = ready
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / ".curlrc").write_text("fail-with-body\n")
    (tmp_path / "wise.pem").write_text(WISE_PRIVATE_KEY)
    env = {
        "PATH": os.environ["PATH"],
        "CURL_HOME": str(tmp_path),
        "BASE": str(api.http.base_url),
        "KEY": key,
        "WEBHOOK_SECRET": SECRET,
        "WISE_KEY_FILE": str(tmp_path / "wise.pem"),
        "no_proxy": "127.0.0.1",
    }

    def run(script: str) -> str:
        done = subprocess.run(
            ["sh", "-euc", commands[0] + script],
            env=env,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    said = []
    for command in commands[1:]:
        said.append(run(command))
        if "x-ndjson" in command:
            api.apply_queued()
    assert len(said) >= len(OPERATIONS)
    assert all(json.loads(one) for one in said)
