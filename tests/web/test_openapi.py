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

from domain.access import service as access
from domain.db import transaction
from domain.loyalty import service as loyalty
from tests.web.conftest import ACTOR
from tests.web.support import SECRET, Api
from tests.web.treasury import three_payouts
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
        return own_api, access.create(tx, own_api.merchant, "all", access.SCOPES, actor=ACTOR)


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
    steps = ["/v1/events", "/v1/loyalty/cards", "/v1/loyalty/cards/{card}/earn"]
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


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl")
def test_every_command_of_the_page_works(ready: tuple[Api, str], tmp_path: Path) -> None:
    api, key = ready
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / ".curlrc").write_text("fail-with-body\n")
    env = {
        "PATH": os.environ["PATH"],
        "CURL_HOME": str(tmp_path),
        "BASE": str(api.http.base_url),
        "KEY": key,
        "WEBHOOK_SECRET": SECRET,
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
