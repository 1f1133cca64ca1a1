"""What says the same hashes the same, however it is written."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from payspool_client import (
    parse_event,
)
from tests.clients.events.refusing import NOW, refusal
from tests.clients.events.valid import document

SAME: list[Callable[[dict[str, Any]], str]] = [
    lambda e: json.dumps(dict(reversed(e.items()))),
    lambda e: json.dumps(e | {"data": dict(reversed(e["data"].items()))}, indent=3),
    lambda e: json.dumps(e | {"time": "2026-11-20T11:30:00.000000+02:00"}),
    lambda e: json.dumps(e | {"traceparent": "00-1", "subject": "x", "n": 0.5}),
    lambda e: json.dumps(e, ensure_ascii=False),
]


@pytest.mark.parametrize("rewrite", SAME)
def test_what_says_the_same_hashes_the_same(rewrite: Callable[[dict[str, Any]], str]) -> None:
    original = document(note="Füße 👟", x=[1, None])
    assert (
        parse_event(rewrite(original)).content_hash
        == parse_event(json.dumps(original)).content_hash
    )


def test_what_says_something_else_hashes_differently() -> None:
    hashes = {
        parse_event(json.dumps(document(**change))).content_hash
        for change in ({}, {"amount": 1}, {"amount": 2}, {"note": "1"}, {"note": 1})
    }
    assert len(hashes) == 5


def test_a_refused_event_hashes_as_its_correct_replay_would_by_content() -> None:
    wrong = document(amount=-5)
    reordered = json.dumps(dict(reversed(wrong.items())))
    assert refusal(wrong).content_hash == refusal(reordered).content_hash
    late = document() | {"time": "2026-11-20T12:00:00Z"}
    accepted = parse_event(json.dumps(late))
    assert refusal(late, now=NOW).content_hash == accepted.content_hash
