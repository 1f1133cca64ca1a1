"""`payspool dead` on the real servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from domain.errors import Forbidden
from domain.secrets import new_key
from payspool.cli import app
from queues.dead import DeadLetter
from workers.dead_letters import SqlDeadLetters

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str, namespace: str) -> Run:
    for name, value in {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "NAMESPACE": namespace,
        "SECRET_KEYS": new_key(),
        "STRIPE_URL": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(f"PAYSPOOL_{name}", value)

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def letters(engine: Engine, client: redis.Redis, namespace: str) -> list[int]:
    """Two letters, in SQL and in Redis."""
    for number in (1, 2):
        raw = json.dumps({"actor_name": "x.y", "args": [number, "\x1b[2J"], "kwargs": {}}).encode()
        letter = DeadLetter.of(
            "sweeps", f"r-{number}", raw, "Traceback\nKeyError: \x1b[2J", attempts=3, deaths=0
        )
        SqlDeadLetters(engine).record(letter)
        client.zadd(f"{namespace}:sweeps.XQ", {f"r-{number}": 1})
        client.hset(f"{namespace}:sweeps.XQ.msgs", f"r-{number}", raw)
    return [1, 2]


def listed(run: Run, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("dead", "list", "--json", *options))
    return found


def test_letters_are_listed_shown_retried_and_discarded(
    run: Run, letters: list[int], client: redis.Redis, namespace: str, engine: Engine
) -> None:
    assert [row["id"] for row in listed(run)] == [2, 1]
    assert listed(run, "--queue", "payouts") == []
    assert [row["id"] for row in listed(run, "--actor", "x.y", "--text", "[1,")] == [1]
    assert listed(run, "--text", "nowhere") == []
    shown = run("dead", "show", "1")
    assert "KeyError: ?[2J" in shown
    assert "\x1b" not in shown
    assert json.loads(run("dead", "show", "1", "--json"))["attempts"] == 3

    assert run("dead", "retry", "1", "--reason", "fixed") == "Retried 1.\n"
    (fresh,) = client.lrange(f"{namespace}:sweeps", 0, -1)
    assert json.loads(client.hget(f"{namespace}:sweeps.msgs", fresh))["args"][0] == 1
    assert run("dead", "discard", "2", "--reason", "by hand") == "Discarded 2.\n"
    assert client.keys(f"{namespace}:sweeps.XQ*") == []

    assert listed(run) == []
    assert {row["state"] for row in listed(run, "--state", "all")} == {"retried", "discarded"}
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT action, reason FROM audit_entries ORDER BY id"))
        assert [tuple(row) for row in rows] == [
            ("dead_letter.retried", "fixed"),
            ("dead_letter.discarded", "by hand"),
        ]


def test_a_letter_that_was_decided_is_refused_and_nothing_is_queued(
    run: Run, letters: list[int], client: redis.Redis, namespace: str
) -> None:
    run("dead", "discard", "2", "--reason", "by hand")
    with pytest.raises(Forbidden, match="discarded by"):
        run("dead", "retry", "2")
    assert client.llen(f"{namespace}:sweeps") == 0
