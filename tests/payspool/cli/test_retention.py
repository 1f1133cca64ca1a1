"""`payspool retention`: a dry run, a run, what is kept, and archives that are read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.domain.inbox import shop
from tests.payspool.cli.conftest import Command
from tests.workers.test_retaining import fill, kept


@pytest.fixture
def acme(engine: Engine) -> int:
    made = shop.open_shop(engine, shop.PERCENTAGE)
    fill(engine, made, 7)
    return made


def test_a_dry_run_a_run_and_a_check_of_the_archive(
    acme: int, engine: Engine, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYSPOOL_RETENTION_EVENT_DAYS", "100")
    monkeypatch.setenv("PAYSPOOL_RETENTION_ARCHIVE", str(tmp_path))
    dry = command("retention", "run", "--dry-run", "--json")
    assert dry.exit_code == 0, dry.output
    assert kept(engine) == 7
    done = command("retention", "run", "--json")
    assert json.loads(done.output) == json.loads(dry.output)
    assert {one["subject"]: one["rows"] for one in json.loads(done.output)} == {
        "events": 7,
        "dead_letters": 0,
    }
    assert kept(engine) == 0
    shown = json.loads(command("retention", "show", "--json").output)
    events = {one["subject"]: one for one in shown["subjects"]}["events"]
    assert (events["days"], events["pruned"], events["files"]) == (100, 7, 1)
    assert "outbox" in shown["by_itself"]
    assert "metric_minutes: after 8 days" in command("retention", "show").output
    assert command("retention", "check").exit_code == 0
    next((tmp_path / "events").iterdir()).write_bytes(b"other")
    wrong = command("retention", "check")
    assert wrong.exit_code == 1
    assert "not as it was written" in wrong.output


def test_for_ever_and_no_archive_say_so(
    acme: int, engine: Engine, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYSPOOL_RETENTION_EVENT_DAYS", "0")
    monkeypatch.setenv("PAYSPOOL_RETENTION_DEAD_LETTER_DAYS", "0")
    assert "for ever" in command("retention", "run").output
    assert kept(engine) == 7
    assert "PAYSPOOL_RETENTION_ARCHIVE is not set" in str(command("retention", "check").exception)
