"""Files with anything in their lines: every good line is published, every other one told by its number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner

from payspool.cli import app
from tests.clients.producer import ids, queued
from tests.fuzz import mutations

BAD, GOOD = 100, 10
COLUMNS = ["id", "source", "merchant", "type", "time", "code", "referred_user_id", "amount"]


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def env(database_url: str, redis_url: str, namespace: str) -> dict[str, str]:
    return {
        "PAYSPOOL_DATABASE_URL": database_url,
        "PAYSPOOL_REDIS_URL": redis_url,
        "PAYSPOOL_NAMESPACE": namespace,
    }


def good_event(number: int) -> list[str]:
    envelope = [f"good-{number}", "shop", "acme", "conversion.recorded", "2026-06-01T12:00:00Z"]
    return [*envelope, "ADA-01", f"user {number}", "100"]


def as_json(fields: list[str]) -> bytes:
    event: dict[str, Any] = dict(zip(COLUMNS[:5], fields, strict=False))
    data = {"code": fields[5], "referred_user_id": fields[6], "amount": int(fields[7])}
    return json.dumps({"specversion": "1.0"} | event | {"data": data}).encode()


def as_csv(fields: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(fields)
    return out.getvalue().encode()


def bad_line(dice: Random, *, comma: bool) -> bytes:
    """One line of noise. In a CSV file a quote may rightly belong to a record of several lines."""
    if comma:
        fields = good_event(dice.getrandbits(30))
        fields[dice.randrange(len(fields))] = str(mutations.value(dice))
        raw = ",".join(fields).encode("utf-8", "surrogatepass")
        raw = (mutations.bent(dice, raw) if dice.random() < 0.7 else raw).replace(b'"', b"'")
    else:
        raw = mutations.text(dice).encode("utf-8", "surrogatepass")
    return raw.replace(b"\n", b" ").replace(b"\r", b" ")


@settings(
    mutations.campaign(0.15, BAD), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mutations.seeds)
def test_every_line_is_published_or_told_by_its_number(
    env: dict[str, str], client: redis.Redis, namespace: str, tmp_path: Path, seed: int
) -> None:
    dice = Random(seed)
    comma = dice.random() < 0.5
    write = as_csv if comma else as_json
    numbers = [dice.getrandbits(60) for _ in range(GOOD)]
    lines = [(None, bad_line(dice, comma=comma)) for _ in range(BAD)]
    lines += [(number, write(good_event(number))) for number in numbers]  # type: ignore[misc]
    dice.shuffle(lines)
    file = tmp_path / (f"{seed}.csv" if comma else f"{seed}.jsonl")
    head = [",".join(COLUMNS).encode()] if comma else []
    end = dice.choice([b"\n", b"\r\n"])
    file.write_bytes(end.join([*head, *(line for _, line in lines)]))
    client.delete(f"{namespace}:events", f"{namespace}:events.msgs")
    done = CliRunner().invoke(
        app, ["events", "import", str(file), "--no-durable", "--json"], env=env
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    told = json.loads(done.stdout)
    published = ids(queued(client, namespace))
    assert [one for one in (f"good-{n}" for n in numbers) if one not in published] == []
    rejects = Path(told["rejects"]).read_text().splitlines() if told["rejects"] else []
    refused = [json.loads(one)["line"] for one in rejects]
    assert len(refused) == len(set(refused)) == told["refused"]
    blank = sum(1 for _, line in lines if not line.decode("utf-8", "surrogateescape").strip())
    assert told["published"] == len(published)
    assert len(published) + len(refused) + blank == len(lines)
    assert all(lines[number - 1 - len(head)][0] is None for number in refused)
