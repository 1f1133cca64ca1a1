"""What was said long ago goes, in steps; what is known by it stays, and what is archived is on the disk first."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from domain.audit.service import Actor
from domain.db import transaction
from domain.dead_letters import service as dead_letters
from domain.dead_letters import store as letter_store
from domain.dead_letters.store import Filter
from domain.errors import Invalid
from domain.retention import service, store
from domain.retention.rules import PRUNED_BY_ITS_OWN, STEP_BYTES, STEP_ROWS, Archived, Retention
from tests.domain.inbox import shop
from tests.workers.test_sweeps import fire
from workers import retaining
from workers.archiving import Archive
from workers.context import Runtime

ROOT = Path(__file__).parents[2]
ADA = Actor("command", "ada")
KEPT = Retention(event_days=100, dead_letter_days=100)
OLD = "clock_timestamp() - interval '101 days'"


@pytest.fixture
def acme(engine: Engine) -> int:
    return shop.open_shop(engine, shop.PERCENTAGE)


def fill(engine: Engine, acme: int, number: int, **changes: str) -> None:
    """So many applied events that are 101 days old."""
    said = {"status": "'applied'", "reason": "NULL", "correlation": "NULL", "created_at": OLD}
    said |= changes
    with transaction(engine) as tx:
        tx.execute(
            text(
                f"""
                INSERT INTO inbox_events (merchant_id, source, event_id, type, occurred_at, received_at, content_hash,
                                          data, {", ".join(said)})
                SELECT {acme}, 'old', gen_random_uuid()::text, 'conversion.recorded', now(), now(),
                       sha256(i::text::bytea), jsonb_build_object('order', i, 'note', 'Zoë'),
                       {", ".join(said.values())}
                FROM generate_series(1, {number}) i
                """
            )
        )


def age(engine: Engine) -> None:
    with transaction(engine) as tx:
        tx.execute(text(f"UPDATE inbox_events SET created_at = {OLD}"))
        tx.execute(text(f"UPDATE dead_letters SET decided_at = {OLD} WHERE state <> 'open'"))


def kept(engine: Engine) -> int:
    return int(shop.scalar(engine, "SELECT count(*) FROM inbox_events WHERE data IS NOT NULL"))


def upto(engine: Engine) -> int:
    return int(shop.scalar(engine, "SELECT upto FROM retention_marks WHERE subject = 'events'"))


def lines(folder: Path, engine: Engine, subject: str = "events") -> Iterator[dict[str, Any]]:
    """All rows of the archives that the database knows."""
    for row in shop.rows(
        engine, "SELECT file FROM retention_archives WHERE subject = :s ORDER BY id", s=subject
    ):
        for line in gzip.decompress((folder / row[0]).read_bytes()).splitlines():
            yield json.loads(line)


def run(engine: Engine, archive: Any = None, **more: int) -> tuple[int, int]:
    done = service.run(engine, KEPT, archive, **more)
    return done["events"].rows, done["dead_letters"].rows


def test_a_dry_run_says_what_a_run_does_and_does_nothing(engine: Engine, acme: int) -> None:
    number = 2 * STEP_ROWS + 7
    fill(engine, acme, number)
    fill(engine, acme, 5, created_at="clock_timestamp() - interval '99 days'")
    would = service.preview(engine, KEPT)
    assert would["events"].rows == number
    assert would["events"].bytes > number * 10
    assert (kept(engine), upto(engine)) == (number + 5, 0)
    assert service.run(engine, KEPT, None) == would
    assert kept(engine) == 5
    assert service.preview(engine, KEPT)["events"].rows == 0
    assert run(engine) == (0, 0)


def test_what_is_sent_again_is_still_known_when_its_words_are_gone(
    engine: Engine, acme: int
) -> None:
    first, other = shop.conversion("o-1"), shop.conversion("o-1", amount=99_000)
    assert shop.said(shop.send(engine, first)) == ["applied"]
    owed = shop.rows(engine, "SELECT user_id, amount FROM earnings")
    age(engine)
    assert run(engine) == (1, 0)
    assert kept(engine) == 0
    again = shop.said(shop.send_one_by_one(engine, first, other))
    assert [one.split(":")[0] for one in again] == ["duplicate", "conflict"], again
    assert shop.rows(engine, "SELECT user_id, amount FROM earnings") == owed
    assert shop.scalar(engine, "SELECT count(*) FROM inbox_events") == 1
    refund = shop.event(
        "conversion.refunded", "r-1", transaction_id="o-1", refund_id="r", full=True
    )
    assert shop.said(shop.send(engine, refund)) == ["applied"], "it can still be taken back"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "'rejected'", "reason": "'no_such_code'"},
        {"status": "'waiting'", "reason": "'no_original'"},
        {"status": "'dead'", "reason": "'bug'"},
        {"correlation": "'transaction:o-1'"},
    ],
    ids=["rejected", "waiting", "dead", "noted"],
)
def test_what_may_yet_be_applied_or_reversed_keeps_its_words(
    engine: Engine, acme: int, changes: dict[str, str]
) -> None:
    fill(engine, acme, 3, **changes)
    fill(engine, acme, 2)
    assert run(engine) == (2, 0)
    assert kept(engine) == 3


def test_a_row_that_somebody_holds_is_neither_waited_for_nor_passed(
    engine: Engine, acme: int
) -> None:
    fill(engine, acme, 10)
    ids = [row[0] for row in shop.rows(engine, "SELECT id FROM inbox_events ORDER BY id")]
    with transaction(engine) as holding:
        holding.execute(text("SELECT FROM inbox_events WHERE id = :id FOR UPDATE"), {"id": ids[4]})
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(run, engine).result(timeout=15) == (4, 0)
            assert thread.submit(run, engine).result(timeout=15) == (0, 0)
    assert upto(engine) == ids[3]
    assert run(engine) == (6, 0)


def test_two_runs_at_once_prune_each_row_once(engine: Engine, acme: int, tmp_path: Path) -> None:
    number = 3 * STEP_ROWS
    fill(engine, acme, number)
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda _: run(engine, Archive(tmp_path))[0], range(3)))
    done.append(run(engine, Archive(tmp_path))[0])
    assert sum(done) == number
    assert (
        shop.scalar(engine, "SELECT pruned FROM retention_marks WHERE subject = 'events'") == number
    )
    assert len([*lines(tmp_path, engine)]) == number


class Killed(Exception):
    """Stands for the end of the process: nothing after it runs."""


class DyingArchive(Archive):
    """Its process ends when a file is on the disk, before the rows went."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder)
        self._left = after

    def write(self, subject: str, rows: Any) -> Archived:
        written = super().write(subject, rows)
        self._left -= 1
        if self._left < 0:
            raise Killed
        return written


def test_a_run_that_is_killed_loses_nothing_and_the_next_goes_on(
    engine: Engine, acme: int, tmp_path: Path
) -> None:
    number = 2 * STEP_ROWS + 500
    fill(engine, acme, number)
    said = shop.rows(engine, "SELECT event_id, data FROM inbox_events")
    with pytest.raises(Killed):
        run(engine, DyingArchive(tmp_path, after=1))
    assert kept(engine) == number - STEP_ROWS, "one step is done, and nothing of the next"
    assert len(list(tmp_path.rglob("*.gz"))) == 2, "though its file is there"
    assert run(engine, Archive(tmp_path)) == (number - STEP_ROWS, 0)
    assert sorted((row["event_id"], str(row["data"])) for row in lines(tmp_path, engine)) == sorted(
        (event_id, str(data)) for event_id, data in said
    )
    with transaction(engine) as tx:
        files = store.archives(tx)
    assert [one.rows for one in files] == [STEP_ROWS, STEP_ROWS, 500]
    assert len(list(tmp_path.rglob("*"))) == 4, "the file that was written again replaced itself"
    assert Archive(tmp_path).check(files) == []
    (tmp_path / files[1].file).write_bytes(b"other")
    (tmp_path / files[2].file).unlink()
    assert Archive(tmp_path).check(files) == [files[1].file, files[2].file]


def test_where_the_archive_cannot_be_written_nothing_goes(
    engine: Engine, acme: int, tmp_path: Path
) -> None:
    fill(engine, acme, 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match=r"PAYSPOOL_RETENTION_ARCHIVE.*nothing was pruned"):
        run(engine, Archive(tmp_path / "file"))
    assert (kept(engine), upto(engine)) == (3, 0)


def test_a_run_is_bounded_and_the_next_goes_on(engine: Engine, acme: int) -> None:
    fill(engine, acme, 2 * STEP_ROWS + 1)
    assert run(engine, most=1) == (STEP_ROWS, 0)
    assert run(engine, most=STEP_ROWS + 1) == (STEP_ROWS + 1, 0)


def test_zero_days_are_for_ever(engine: Engine, acme: int) -> None:
    fill(engine, acme, 3)
    assert service.run(engine, Retention(), None) == {}
    assert service.preview(engine, Retention()) == {}
    assert kept(engine) == 3


def letter(name: str, size: int = 10) -> dead_letters.Letter:
    return dead_letters.Letter(
        "events", name, "a.b", '{"args": []}', b"x" * size, "KeyError", "Trace", 1, 0, None
    )


def test_letters_that_were_decided_on_long_ago_keep_who_decided_and_no_more(
    engine: Engine, tmp_path: Path
) -> None:
    with transaction(engine) as tx:
        for name in ("retried", "discarded", "open", "lately"):
            dead_letters.record(tx, letter(name))
        ids = {
            row.redis_message_id: row.id
            for row in letter_store.search(tx, Filter(), state=None, before=None, limit=9)
        }
        dead_letters.retry(tx, [ids["retried"]], ADA, lambda rows: ["again" for _ in rows])
        dead_letters.discard(tx, [ids["discarded"]], ADA, "why not")
    age(engine)
    with transaction(engine) as tx:
        dead_letters.discard(tx, [ids["lately"]], ADA, "why not")
    assert service.preview(engine, KEPT)["dead_letters"].rows == 2
    assert run(engine, Archive(tmp_path)) == (0, 2)
    assert run(engine, Archive(tmp_path)) == (0, 0)
    left = shop.rows(
        engine,
        "SELECT redis_message_id, decided_by, raw, args, trace FROM dead_letters WHERE pruned_at IS NOT NULL ORDER BY 1",
    )
    assert left == [
        ("discarded", "ada", None, None, None),
        ("retried", "ada", None, None, None),
    ]
    archived = list(lines(tmp_path, engine, "dead_letters"))
    assert [row["raw"] for row in archived] == ["eHh4eHh4eHh4eA=="] * 2
    with transaction(engine) as tx:
        dead_letters.record(tx, letter("retried"))
        assert not dead_letters.known(tx, "events", ["retried"])["retried"].open, (
            "it does not come back"
        )


def test_a_step_holds_no_more_than_its_bytes(engine: Engine) -> None:
    size = STEP_BYTES // 4
    with transaction(engine) as tx:
        for name in range(6):
            dead_letters.record(tx, letter(str(name), size))
        ids = [
            row.id for row in letter_store.search(tx, Filter(), state=None, before=None, limit=9)
        ]
        dead_letters.discard(tx, ids, ADA, "large")
    age(engine)
    assert service.run(engine, KEPT, None, most=1)["dead_letters"].rows == 3
    assert run(engine) == (0, 3)


def test_the_database_keeps_what_is_open_and_what_was_archived(
    engine: Engine, tmp_path: Path
) -> None:
    with transaction(engine) as tx:
        dead_letters.record(tx, letter("open"))
    with pytest.raises(IntegrityError, match="ck_dead_letters_pruned"), transaction(engine) as tx:
        tx.execute(text("UPDATE dead_letters SET pruned_at = now()"))
    with pytest.raises(ProgrammingError, match="permission denied"), transaction(engine) as tx:
        tx.execute(text("DELETE FROM retention_archives"))
    with pytest.raises(ProgrammingError, match="permission denied"), transaction(engine) as tx:
        tx.execute(text("DELETE FROM inbox_events"))


def test_every_table_that_loses_rows_says_when() -> None:
    found = {
        name
        for folder in ("domain", "workers", "web", "payspool")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"DELETE FROM (\w+)", path.read_text())
    }
    assert found == set(PRUNED_BY_ITS_OWN), (
        "domain.retention.rules.PRUNED_BY_ITS_OWN is what people read"
    )


def test_the_schedule_prunes_by_the_settings_of_its_worker(
    engine: Engine, acme: int, tmp_path: Path
) -> None:
    fill(engine, acme, 3)
    rt = SimpleNamespace(engine=engine, retention=Retention(100, 100, tmp_path))
    fire_at = fire(engine, "retention.prune")
    for _ in range(2):
        retaining.prune(cast(Runtime, rt), "retention.prune", fire_at)
    assert shop.rows(engine, "SELECT state, progress FROM schedule_fires") == [
        ("done", {"events": 3, "dead_letters": 0})
    ]
    assert len([*lines(tmp_path, engine)]) == 3
    days = shop.rows(engine, "SELECT subject, days, archived FROM retention_marks ORDER BY 1")
    assert days == [("dead_letters", 100, True), ("events", 100, True)]
