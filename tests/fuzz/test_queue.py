"""Anything on the queue of events: every good neighbour is applied, and every bad message is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import UUID

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine
from structlog.testing import capture_logs

from payspool_client import UndecodableMessage
from payspool_client.wire import decode_message, encode_messages
from tests.domain.inbox.shop import PERCENTAGE, assert_whole, conversion, open_shop
from tests.fuzz import mutations
from tests.fuzz.findable import missing, not_applied
from tests.workers.in_process import dead_letters, put, wait_until, wait_until_done, working

BAD, GOOD = 100, 10


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def shop(engine: Engine, redis_url: str, namespace: str) -> Iterator[Engine]:
    """A shop, and a worker on its queue."""
    open_shop(engine, PERCENTAGE)
    with capture_logs() as lines, working(engine, redis_url, namespace):
        yield engine
    dead = [line for line in lines if line["event"] == "event.dead"]
    assert dead == [], dead[0]["exception"][-1500:]
    assert_whole(engine)


def message(dice: Random) -> bytes:
    """A queue message that is none, or holds what is none."""
    how = dice.randrange(6)
    if how == 0:
        return dice.randbytes(dice.randrange(80))
    if how == 1:
        return json.dumps(mutations.value(dice)).encode()
    ((_, raw),) = encode_messages([json.dumps(mutations.document(dice))])
    if how == 2:
        return mutations.bent(dice, raw)
    envelope: dict[str, Any] = json.loads(raw)
    if how == 3:
        envelope[dice.choice(list(envelope))] = mutations.value(dice)
    elif how == 4:
        envelope["args"] = [[mutations.text(dice) for _ in range(dice.randrange(1, 5))]]
        envelope["options"]["payspool"]["n"] = len(envelope["args"][0])
    else:
        envelope["options"]["payspool"] = mutations.value(dice)
        envelope.pop(dice.choice([*envelope, "nothing"]), None)
    return json.dumps(envelope).encode()


@settings(
    mutations.campaign(0.15, BAD), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mutations.seeds)
def test_nothing_on_the_queue_strands_its_neighbours_or_is_lost(
    shop: Engine, client: redis.Redis, namespace: str, seed: int
) -> None:
    dice = Random(seed)
    bad = [message(dice) for _ in range(BAD)]
    good = [conversion(f"good-{seed}-{i}", f"user {dice.random()}") for i in range(GOOD)]
    both = bad + [raw for one in good for _, raw in encode_messages([one])]
    dice.shuffle(both)
    put(client, namespace, [(str(UUID(int=dice.getrandbits(128))), raw) for raw in both])
    wait_until_done(client, namespace)
    wait_until(lambda: not_applied(shop, good) == [])
    texts: list[str] = []
    dead: set[bytes] = set()
    for raw in bad:
        try:
            texts += decode_message(raw).texts
        except UndecodableMessage:
            dead.add(raw)
    assert missing(shop, texts) == []
    wait_until(lambda: dead <= set(dead_letters(shop, client, namespace)))


def test_a_message_without_a_byte_is_a_dead_letter_like_any_other(
    shop: Engine, client: redis.Redis, namespace: str
) -> None:
    good = conversion("o1")
    put(client, namespace, [("empty", b""), *encode_messages([good])])
    wait_until_done(client, namespace)
    assert not_applied(shop, [good]) == []
    wait_until(lambda: b"" in dead_letters(shop, client, namespace))
