"""The schemas in the documentation are those of the code, and its examples are events."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from payspool_client import parse_event, schemas

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference" / "schemas"
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]

SHELL_TIME = r"'\$(\(date -u [^)]*\)|[A-Z]+)'"
"""How a command line example says now."""


def test_the_files_are_what_would_be_generated_now() -> None:
    """Else: .venv/bin/python -m payspool_client.schemas docs/reference/schemas"""
    generated = schemas.files()
    assert {file.name for file in FOLDER.iterdir()} == set(generated)
    for name, text in generated.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name


def examples() -> list[Any]:
    """Every event that a page shows."""
    found = []
    for page in PAGES:
        text = re.sub(SHELL_TIME, "2026-11-20T09:30:00Z", page.read_text(encoding="utf-8"))
        for shown in re.finditer(r'\{\s*"specversion"', text):
            event, _ = json.JSONDecoder().raw_decode(text, shown.start())
            found.append(pytest.param(event, id=str(page.relative_to(ROOT))))
    return found


def test_there_are_examples() -> None:
    assert examples() != []


@pytest.mark.parametrize("event", examples())
def test_every_example_in_the_documentation_is_an_event(event: Any) -> None:
    Draft202012Validator(schemas.event_schema()).validate(event)
    parse_event(json.dumps(event))


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [one for inner in value for one in references(inner)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [one for inner in value.values() for one in references(inner)]


@pytest.mark.parametrize("name", schemas.files())
def test_every_reference_leads_somewhere(name: str) -> None:
    document = json.loads(schemas.files()[name])
    assert references(document) or name == schemas.MESSAGE_FILE
    for reference in references(document):
        file, _, path = reference.partition("#")
        there = json.loads(schemas.files()[file.removeprefix("./")]) if file else document
        for part in filter(None, path.split("/")):
            there = there[part]


def test_the_asyncapi_document_has_what_version_three_asks_for() -> None:
    document = schemas.asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert "channel" in operation
    for channel in document["channels"].values():
        named = set(re.findall(r"{(\w+)}", channel["address"]))
        assert named == set(channel["parameters"])
