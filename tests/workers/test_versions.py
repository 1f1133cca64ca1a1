"""What an older producer wrote is applied, and what a newer one writes is kept with a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine
from structlog.testing import capture_logs

from payspool_client.wire import decode_message
from tests.domain.inbox.shop import (
    PERCENTAGE,
    assert_whole,
    balance,
    open_shop,
    rows,
    standing,
)
from tests.workers.in_process import dead_letters, put, wait_until, wait_until_done, working

FROZEN = Path(__file__).parents[1] / "clients" / "v1"
"""Messages byte for byte as release 0.1 wrote them; these files are never generated anew."""


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def frozen(*names: str) -> list[tuple[str, bytes]]:
    raws = [(FROZEN / f"{name}.json").read_bytes() for name in names]
    return [(json.loads(raw)["options"]["redis_message_id"], raw) for raw in raws]


def test_messages_of_the_first_release_are_applied(
    engine: Engine, client: redis.Redis, redis_url: str, namespace: str
) -> None:
    open_shop(engine, PERCENTAGE)
    put(client, namespace, frozen("packed", "single", "other_language"))
    with working(engine, redis_url, namespace):
        wait_until_done(client, namespace)
    assert standing(engine) == {
        "one/paid": "applied",
        "two/r": "applied",
        "two/paid": "applied",
        "ben": "applied",
        "ada": "applied",
        "x": "rejected:unknown_type",
        "six/paid": "applied",
    }
    assert balance(engine) == 1_000 + 750 + 1_000
    kept = rows(engine, "SELECT reason, raw FROM rejected_messages")
    assert [(reason, bytes(raw)) for reason, raw in kept] == [("invalid_json", b"not json")]
    assert dead_letters(engine, client, namespace) == []
    assert_whole(engine)


def test_an_event_of_a_newer_specification_is_refused_by_its_name(
    engine: Engine, client: redis.Redis, redis_url: str, namespace: str
) -> None:
    open_shop(engine, PERCENTAGE)
    put(client, namespace, frozen("newer_event"))
    with working(engine, redis_url, namespace):
        wait_until_done(client, namespace)
    assert standing(engine) == {
        "three/paid": "applied",
        "four/paid": "rejected:unsupported_specversion",
    }
    query = "SELECT detail FROM inbox_events WHERE event_id = 'four/paid'"
    assert rows(engine, query) == [('specversion must be "1.0".',)]


def test_a_message_of_a_newer_wire_format_is_a_dead_letter_with_its_bytes(
    engine: Engine, client: redis.Redis, redis_url: str, namespace: str
) -> None:
    open_shop(engine, PERCENTAGE)
    put(client, namespace, frozen("newer_wire", "single"))
    with working(engine, redis_url, namespace):
        wait_until(lambda: standing(engine) == {"one/paid": "applied"})
        wait_until(lambda: dead_letters(engine, client, namespace))
    [(_, raw)] = frozen("newer_wire")
    assert set(dead_letters(engine, client, namespace)) == {raw}


def test_the_frozen_messages_are_what_they_claim_to_be() -> None:
    for name in ("single", "packed", "other_language", "newer_event"):
        [(_, raw)] = frozen(name)
        assert decode_message(raw).texts
    [(_, raw)] = frozen("packed")
    assert "Füße" in decode_message(raw).texts[1]
