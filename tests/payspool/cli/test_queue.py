"""`payspool queue` on the real servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from domain.errors import Invalid, NotFound
from domain.secrets import new_key
from payspool.cli import app, session
from queues import AlreadyPaused, NoSuchWorker, NotPaused

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


def listed(run: Run) -> dict[str, dict[str, Any]]:
    return {row["queue"]: row for row in json.loads(run("queue", "list", "--json"))}


def test_a_queue_is_paused_shown_with_who_when_and_why_and_resumed(
    run: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setattr(session, "console", Console(width=300))  # a sentence is not to be folded
    assert set(listed(run)) == {"events", "payouts", "sweeps", "webhooks"}
    run("queue", "pause", "payouts", "--reason", "the bank calls")
    row = listed(run)["payouts"]
    assert (row["paused_by"], row["pause_reason"]) == ("ada", "the bank calls")
    assert row["paused_at"].endswith("+00:00")
    assert "the bank calls" in run("queue", "list")
    with pytest.raises(AlreadyPaused):
        run("queue", "pause", "payouts", "--reason", "again")
    run("queue", "resume", "payouts")
    assert listed(run)["payouts"]["paused_by"] is None
    with pytest.raises(NotPaused):
        run("queue", "resume", "payouts")
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT actor_id, action, subject_id, reason FROM audit_entries ORDER BY id")
        )
        assert [tuple(row) for row in rows] == [
            ("ada", "queue.paused", "payouts", "the bank calls"),
            ("ada", "queue.resumed", "payouts", None),
        ]


def test_a_queue_that_does_not_exist_and_a_pause_without_reason_are_refused(run: Run) -> None:
    with pytest.raises(NotFound, match="events, payouts, sweeps, webhooks"):
        run("queue", "pause", "payotus", "--reason", "x")
    with pytest.raises(Invalid, match="--reason"):
        run("queue", "pause", "payouts", "--reason", " ")


def test_without_a_worker_none_is_listed_and_none_can_be_quieted(run: Run) -> None:
    assert json.loads(run("queue", "workers", "--json")) == []
    with pytest.raises(NoSuchWorker, match="queue workers"):
        run("queue", "quiet", "3f2a", "--reason", "looking at it")
    with pytest.raises(NoSuchWorker):
        run("queue", "wake", "3f2a")
    with pytest.raises(Invalid, match="1 to 500"):
        run("queue", "quiet", "3f2a", "--reason", " ")
