"""What nobody should send, by every way in: refused by name, findable, and its neighbours count."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from domain.db import snapshot
from payspool_client.wire import encode_messages, list_key, messages_key
from queues.inspect import inspect
from queues.keys import QueueKeys
from tests.e2e.installation import Installation, wait_for
from tests.e2e.shop import Shop, open_shop
from workers.sweeps import broken_invariants

pytestmark = [pytest.mark.xdist_group("bad_input"), pytest.mark.slow]

NAMESPACE = "payspool"
ARRIVES_SECONDS = 60.0


@dataclass(frozen=True)
class Bad:
    """A text that breaks the contract; ``reason`` names how. Some are too broken to say who they are."""

    name: str
    text: bytes
    reason: str
    identified: bool


def event(shop: Shop, event_id: str, **changes: Any) -> dict[str, Any]:
    """A good conversion with some attributes, or some fields of its data, changed."""
    made: dict[str, Any] = json.loads(shop.purchase(event_id).to_json()) | {"id": event_id}
    for name, value in changes.items():
        (made if name in made else made["data"])[name] = value
    return made


def breaches(shop: Shop, prefix: str) -> list[Bad]:
    """One text for each way of breaking the contract, which no rule ever sees."""

    def text(name: str, **changes: Any) -> bytes:
        return json.dumps(event(shop, f"{prefix}-{name}", **changes)).encode()

    def edited(name: str, old: bytes, new: bytes) -> bytes:
        made = text(name)
        assert old in made
        return made.replace(old, new)

    return [
        Bad("unknown-type", text("unknown-type", type="conversion.imagined"), "unknown_type", True),
        Bad("float", text("float", amount=129.5), "wrong_type", True),
        Bad("bool", text("bool", amount=True), "wrong_type", True),
        Bad("text", text("text", amount="12900"), "wrong_type", True),
        Bad("negative", text("negative", amount=-1), "negative_amount", True),
        Bad("2-63", text("2-63", amount=2**63), "integer_out_of_range", True),
        Bad("nan", edited("nan", b"12900", b"NaN"), "not_finite", True),
        Bad("twice", edited("twice", b'"amount"', b'"amount": 1, "amount"'), "duplicate_key", True),
        Bad("long", text("long", referred_user_id="x" * 101), "too_long", True),
        Bad("huge", text("huge", referred_user_id="x" * 70_000), "too_large", True),
        Bad("enormous", text("enormous", code="x" * 1_100_000), "too_large", False),
        Bad("nul", text("nul", referred_user_id="a\0b"), "nul_character", True),
        Bad("surrogate", edited("surrogate", b"ben", b"\\ud800"), "invalid_unicode", True),
        Bad("currency", text("currency", currency="dollars"), "invalid_currency", True),
        Bad("time", text("time", time="yesterday"), "invalid_time", True),
        Bad("cut", text("cut")[:-20], "invalid_json", False),
        Bad("array", b"[]", "not_an_object", False),
        Bad("brackets", b"[" * 60_000, "too_deep", False),
        Bad("utf-8", edited("utf-8", b"ben", b"\xff\xfe"), "invalid_unicode", False),
    ]


def forbidden(shop: Shop, prefix: str) -> dict[str, tuple[bytes, str]]:
    """Texts that keep the contract and break a rule: id → (text, reason)."""
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "unknown-code": ({"code": "NOBODYS"}, "code_not_found"),
        "ended-program": ({"code": "CODE-OLD"}, "program_inactive"),
        "self-referral": ({"referred_user_id": "ada"}, "self_referral"),
        "other-currency": ({"currency": "eur"}, "currency_mismatch"),
        "in-the-future": ({"time": ahead}, "time_in_future"),
    }
    return {
        f"{prefix}-{name}": (
            json.dumps(event(shop, f"{prefix}-{name}", **changes)).encode(),
            reason,
        )
        for name, (changes, reason) in cases.items()
    }


def goods(shop: Shop, prefix: str) -> Iterator[bytes]:
    for number in count():
        yield json.dumps(event(shop, f"{prefix}-good-{number}")).encode()


def between(good: Iterator[bytes], bad: list[bytes]) -> list[bytes]:
    """A good text before, after and between bad ones."""
    mixed = [next(good)]
    for one in bad:
        mixed += [one, next(good)]
    return mixed


@pytest.fixture(scope="module")
def shop(up: Installation) -> Shop:
    shop = open_shop(up, "acme")
    past = ("programs", "create", "acme", "past", "--currency", "usd")
    up.ok(*past, "--rule", '{"kind": "percentage", "basis_points": 500}')
    up.ok("codes", "create", "acme", "past", "eve", "--code", "CODE-OLD")
    up.ok("programs", "status", "acme", "past", "ended")
    return shop


def wait_until_applied(up: Installation, event_id: str) -> None:
    def applied() -> bool:
        rows = up.rows("SELECT status FROM inbox_events WHERE event_id = :id", id=event_id)
        return bool(rows) and rows[0].status == "applied"

    wait_for(f"{event_id} is applied", applied, ARRIVES_SECONDS)


def assert_goods_count(up: Installation, prefix: str, expected: int) -> None:
    [row] = up.rows(
        "SELECT count(*) AS events, count(*) FILTER (WHERE i.status = 'applied') AS applied,"
        " count(t.id) AS trackings, sum(t.amount_earned) AS earned"
        " FROM inbox_events i LEFT JOIN trackings t ON t.inbox_id = i.id WHERE event_id LIKE :prefix",
        prefix=f"{prefix}-good-%",
    )
    assert tuple(row) == (expected, expected, expected, expected * 1_290)


def counted(up: Installation) -> Counter[tuple[str, str]]:
    """What `events counts` says: (status, reason) → how many."""
    found: Counter[tuple[str, str]] = Counter()
    for row in up.json("events", "counts"):
        found[row["status"], row["reason"]] += row["events"]
    return found


def test_the_api_refuses_each_by_name_and_takes_its_neighbours(
    up: Installation, shop: Shop
) -> None:
    bad = [one for one in breaches(shop, "api") if one.name != "enormous"]
    texts = between(goods(shop, "api"), [one.text for one in bad])
    answer = httpx.post(
        up.instance()["api_url"] + "/v1/events",
        content=b"\n".join(texts),
        headers={
            "Authorization": f"Bearer {shop.api_key}",
            "Content-Type": "application/x-ndjson",
        },
        trust_env=False,
    )
    assert answer.status_code == 207
    told = answer.json()
    assert (told["accepted"], told["rejected"]) == (len(bad) + 1, len(bad))
    assert [result["reason"] for result in told["results"][1::2]] == [one.reason for one in bad]
    assert {result["status"] for result in told["results"][0::2]} == {"queued"}
    wait_until_applied(up, f"api-good-{len(bad)}")
    assert_goods_count(up, "api", len(bad) + 1)


def test_what_breaks_a_rule_is_taken_by_the_api_and_its_refusal_is_found(
    up: Installation, shop: Shop
) -> None:
    cases = forbidden(shop, "rule")
    good = goods(shop, "rule")
    headers = {"Authorization": f"Bearer {shop.api_key}", "Content-Type": "application/x-ndjson"}
    with httpx.Client(base_url=up.instance()["api_url"], headers=headers, trust_env=False) as api:
        body = b"\n".join(between(good, [text for text, _ in cases.values()]))
        answer = api.post("/v1/events", content=body)
        assert answer.status_code == 202, answer.text
        wait_until_applied(up, f"rule-good-{len(cases)}")
        for event_id, (_, reason) in cases.items():
            told = api.get("/v1/events", params={"source": "shop", "id": event_id}).json()
            assert (told["status"], told["reason"], told["made"]) == ("rejected", reason, {})
            assert told["detail"]
    assert_goods_count(up, "rule", len(cases) + 1)
    known = up.ok("events", "status", "acme", "shop", "rule-self-referral")
    assert "rejected (self_referral: ada owns the code CODE-ADA)" in known
    assert {("rejected", reason) for _, reason in cases.values()} <= set(counted(up))


def test_a_file_with_broken_lines_in_its_middle_is_imported_around_them(
    up: Installation, shop: Shop, tmp_path: Path
) -> None:
    bad = breaches(shop, "file")
    texts = between(goods(shop, "file"), [one.text for one in bad])
    file, rejects = tmp_path / "events.jsonl", tmp_path / "refused.jsonl"
    file.write_bytes(b"\n".join(texts))
    done = up.run("events", "import", str(file), "--rejects", str(rejects))
    assert done.returncode == 1
    assert f"Published {len(bad) + 1} events." in done.stdout
    refused = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(r["line"], r["reason"]) for r in refused] == [
        (2 * number, one.reason) for number, one in enumerate(bad, start=1)
    ]
    assert all(r["message"] and r["text"] for r in refused)
    wait_until_applied(up, f"file-good-{len(bad)}")
    assert_goods_count(up, "file", len(bad) + 1)


def test_one_event_that_is_wrong_is_refused_by_name_and_not_published(
    up: Installation, shop: Shop, tmp_path: Path
) -> None:
    file = tmp_path / "event.json"
    for one in breaches(shop, "single"):
        if one.name in ("float", "utf-8", "cut"):
            file.write_bytes(one.text)
            assert up.refused("events", "publish", str(file))
    file.write_bytes(breaches(shop, "single")[1].text)
    assert "data.amount: data.amount must be an integer" in up.refused(
        "events", "publish", str(file)
    )


# Past every check, straight onto the queue


@pytest.fixture
def queue(up: Installation) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(up.endpoints().redis_url)
    yield client
    client.close()


def push(queue: redis.Redis, message_id: str, raw: bytes) -> None:
    queue.hset(messages_key(NAMESPACE), message_id, raw)
    queue.rpush(list_key(NAMESPACE), message_id)


def pack(texts: list[bytes]) -> list[tuple[str, bytes]]:
    """Queue messages around texts that nobody checked."""
    return list(encode_messages(text.decode("utf-8", "surrogateescape") for text in texts))


def test_on_the_queue_each_is_kept_with_its_reason_and_its_neighbours_count(
    up: Installation, shop: Shop, queue: redis.Redis
) -> None:
    # Bytes that are no UTF-8 cannot stand in a message at all: see the undecodable ones.
    bad = [one for one in breaches(shop, "queue") if one.name != "utf-8"]
    stranger = json.dumps(event(shop, "queue-stranger", merchant="nobody")).encode()
    before = counted(up)
    texts = between(goods(shop, "queue"), [*(one.text for one in bad), stranger])
    for message_id, raw in pack(texts):
        push(queue, message_id, raw)
    wait_until_applied(up, f"queue-good-{len(bad) + 1}")
    assert_goods_count(up, "queue", len(bad) + 2)
    for one in bad:
        if one.identified:
            known = up.rows(
                "SELECT status, reason FROM inbox_events WHERE event_id = :id",
                id=f"queue-{one.name}",
            )
            assert [tuple(row) for row in known] == [("rejected", one.reason)], one.name
    known = up.json("events", "status", "acme", "shop", "queue-2-63")
    assert (known["status"], known["reason"]) == ("rejected", "integer_out_of_range")
    unreadable = Counter(one.reason for one in bad if not one.identified)
    unreadable["unknown_merchant"] += 1
    found = counted(up) - before
    assert {r: n for (status, r), n in found.items() if status == "unreadable"} == unreadable
    kept = [bytes(row.raw) for row in up.rows("SELECT raw FROM rejected_messages")]
    assert stranger in kept
    assert all(one.text in kept for one in bad if not one.identified)


UNDECODABLE = {
    "no UTF-8": b"\xff\xfe\x00",
    "no JSON": b"{",
    "no message": b"[1, 2]",
    "another actor": b'{"actor_name": "payouts.send"}',
    "a newer format": b'{"actor_name": "events.ingest", "options": {"payspool": {"v": 2, "n": 1}}}',
    "nothing": b"",
}


def test_a_message_that_cannot_be_read_is_a_dead_letter_with_its_bytes_and_holds_nobody_up(
    up: Installation, shop: Shop, queue: redis.Redis
) -> None:
    keys = QueueKeys(NAMESPACE, "events")
    good = goods(shop, "dead")
    ids = {}
    for name, raw in UNDECODABLE.items():
        [(message_id, packed)] = pack([next(good)])
        push(queue, message_id, packed)
        ids[name] = secrets.token_hex(8)
        push(queue, ids[name], raw)
    [(message_id, packed)] = pack([next(good)])
    push(queue, message_id, packed)
    wait_until_applied(up, f"dead-good-{len(UNDECODABLE)}")
    assert_goods_count(up, "dead", len(UNDECODABLE) + 1)
    wait_for(
        "the dead letters are there",
        lambda: queue.zcard(keys.dead) == len(UNDECODABLE),
        ARRIVES_SECONDS,
    )
    for name, raw in UNDECODABLE.items():
        assert queue.hget(keys.dead_messages, ids[name]) == raw
        assert queue.hget(keys.dead_errors, ids[name])
    [state] = inspect(queue, NAMESPACE, ["events"])
    assert (state.dead, state.idle) == (len(UNDECODABLE), True)


def test_after_all_of_it_every_invariant_holds_and_nothing_waits(
    up: Installation, queue: redis.Redis
) -> None:
    with snapshot(up.engine()) as tx:
        assert broken_invariants(tx) == []
    assert all(state.idle for state in inspect(queue, NAMESPACE, ["events", "payouts", "sweeps"]))
    assert up.rows("SELECT FROM inbox_events WHERE status IN ('dead', 'waiting')") == []
