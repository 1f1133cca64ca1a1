"""Importing files of events: nothing is lost, whatever the file is and whenever an import ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from domain.errors import Forbidden, Invalid
from payspool.cli import event_files, event_import
from payspool.cli.event_files import Place
from payspool_client import BacklogFull, BacklogLimit, NotDurable, Publisher
from tests.clients.producer import event, ids, queued

HEADER = "id,source,merchant,type,time,referred_user_id,amount,note"


@pytest.fixture
def queue(redis_url: str, namespace: str) -> Iterator[Any]:
    """The ids on the queue, in order."""
    with redis.Redis.from_url(redis_url) as client:
        yield lambda: ids(queued(client, namespace))


def lines(count: int, start: int = 0) -> list[str]:
    return [json.dumps(event(i)) for i in range(start, start + count)]


def csv_row(number: int, note: str = "") -> str:
    return f"e-{number},shop,acme,conversion.recorded,2026-11-20T09:30:00Z,u,{number},{note}"


def refused(file: Path) -> list[tuple[int, str]]:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [(row["line"], row["reason"]) for row in rows]


def test_a_file_is_published_in_its_order_and_leaves_nothing_beside_it(
    payspool: Any, queue: Any, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines(2_345)))
    said = payspool("events", "import", str(file), "--no-durable")
    assert (said.exit_code, said.stdout) == (0, "Published 2,345 events.\n")
    assert queue() == [f"e-{i}" for i in range(2_345)]
    assert list(tmp_path.glob("events*")) == [file]


def test_one_event_is_one_event_and_none_are_none(
    payspool: Any, queue: Any, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + lines(1)[0].encode() + b"\r\n\r\n")
    assert payspool("events", "import", str(file), "--no-durable").stdout == "Published 1 event.\n"
    assert queue() == ["e-0"]
    file.write_bytes(b"")
    said = payspool("events", "import", str(file), "--no-durable", "--json")
    assert json.loads(said.stdout) == {"published": 0, "refused": 0, "rejects": None}
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    with pytest.raises(Invalid, match="no column 'id'"):
        payspool("events", "import", str(empty))


def test_an_import_is_durable_unless_told_otherwise(payspool: Any, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines(3)))
    assert payspool("events", "import", str(file)).stdout == "Published 3 events.\n"


def test_refused_lines_of_an_earlier_import_are_not_lost_to_a_later_one(
    payspool: Any, queue: Any, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    rejects = tmp_path / "events.jsonl.rejects.jsonl"
    good = lines(3)
    file.write_text("\n".join([good[0], "{", good[1]]))
    said = payspool("events", "import", str(file), "--no-durable")
    assert said.exit_code == 1
    assert said.stderr.splitlines()[-1] == f"Refused 1 line; see {rejects}."
    assert refused(rejects) == [(2, "invalid_json")]
    file.write_text("\n".join(["[]", "{}", good[2]]))
    said = payspool("events", "import", str(file), "--no-durable")
    second = tmp_path / "events.jsonl.rejects.2.jsonl"
    assert said.stderr.splitlines()[-1] == f"Refused 2 lines; see {second}."
    assert refused(rejects) == [(2, "invalid_json")]
    assert refused(second) == [(1, "not_an_object"), (2, "missing_field")]
    file.write_text(good[0])
    assert payspool("events", "import", str(file), "--no-durable").exit_code == 0
    assert refused(rejects) == [(2, "invalid_json")]
    assert len(list(tmp_path.glob("*.rejects*"))) == 2


def test_the_rejects_file_is_not_the_imported_one_and_its_folder_exists(
    payspool: Any, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("{")
    with pytest.raises(Invalid, match="names the file that is imported"):
        payspool("events", "import", str(file), "--rejects", str(file))
    with pytest.raises(Invalid, match="--rejects"):
        payspool("events", "import", str(file), "--rejects", str(tmp_path / "no" / "r.jsonl"))


def test_a_line_without_end_is_refused_and_what_follows_goes_on(
    payspool: Any, queue: Any, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    with file.open("w") as out:
        out.writelines([lines(1)[0] + "\n", "x" * 5_000_000 + "\n", lines(1, 1)[0] + "\n"])
    assert payspool("events", "import", str(file), "--no-durable").exit_code == 1
    assert queue() == ["e-0", "e-1"]
    assert refused(Path(f"{file}.rejects.jsonl")) == [(2, "too_large")]


def test_what_is_appended_meanwhile_is_left_for_the_next_import(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    first, second, third = lines(3)
    file.write_text(f"{first}\n{second[:20]}")
    size = file.stat().st_size
    with file.open("a") as out:
        out.write(f"{second[20:]}\n{third}\n")
    read = [line.text for line in event_files.read(file, limit=size)]
    assert read == [first, second], "the line that was being written is read to its end"


CSV = [
    HEADER,
    csv_row(0),
    csv_row(1, '"a\nb, ""c""\n"'),
    csv_row(2, '"never closed'),
    "",
    csv_row(3) + ",one,too,many",
    csv_row(4, '"x"'),
    csv_row(5, '"never closed either'),
    csv_row(6),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_reading_on_behind_any_line_gives_what_was_left(
    tmp_path: Path, name: str, end: str
) -> None:
    file = tmp_path / name
    content = end.join(CSV if name == "a.csv" else ["", *lines(3), "{", "  ", *lines(2, 3)])
    file.write_bytes(b"\xef\xbb\xbf" + content.encode() + end.encode())
    whole = list(event_files.read(file))
    assert len(whole) >= 6
    assert whole[-1].done == file.stat().st_size
    for number, line in enumerate(whole, start=1):
        rest = list(event_files.read(file, Place(line.last, line.done)))
        assert rest == whole[number:]


def limited(monkeypatch: pytest.MonkeyPatch, url: str, namespace: str, messages: int) -> None:
    monkeypatch.setattr(
        event_import,
        "publisher",
        lambda: Publisher(url, namespace=namespace, limit=BacklogLimit(messages=messages)),
    )


def test_an_import_that_a_full_queue_ended_goes_on_where_it_was(
    payspool: Any,
    queue: Any,
    tmp_path: Path,
    redis_url: str,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "events.jsonl"
    texts = lines(5_000)
    texts[100] = texts[3_500] = "{"
    file.write_text("\n".join(texts))
    limited(monkeypatch, redis_url, namespace, 25)  # two and a half chunks
    with pytest.raises(BacklogFull):
        payspool("events", "import", str(file), "--no-durable", "--wait", "0")
    assert len(queue()) == 2_499, "two chunks, and half of the third"
    limited(monkeypatch, redis_url, namespace, 1_000)
    said = payspool("events", "import", str(file), "--no-durable")
    assert said.stdout.splitlines()[0].startswith("Goes on behind line 2,000, where an earlier")
    assert said.stdout.splitlines()[1] == "Published 4,998 events."
    expected = [f"e-{i}" for i in range(5_000) if i not in (100, 3_500)]
    assert sorted(set(queue()), key=lambda e: int(e[2:])) == expected
    assert refused(Path(f"{file}.rejects.jsonl")) == [
        (101, "invalid_json"),
        (3_501, "invalid_json"),
    ]
    assert not (tmp_path / "events.jsonl.import.json").exists()


@pytest.mark.parametrize("change", ["edited", "asked", "rejects gone"])
def test_a_file_that_is_another_one_now_is_read_from_its_start(
    payspool: Any,
    queue: Any,
    tmp_path: Path,
    redis_url: str,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    file = tmp_path / "events.jsonl"
    texts = lines(3_000)
    texts[0] = "{"
    file.write_text("\n".join(texts))
    limited(monkeypatch, redis_url, namespace, 15)
    with pytest.raises(BacklogFull):
        payspool("events", "import", str(file), "--no-durable", "--wait", "0")
    limited(monkeypatch, redis_url, namespace, 1_000)
    if change == "edited":
        file.write_text("\n".join(["[", *texts[1:]]))
    elif change == "rejects gone":
        Path(f"{file}.rejects.jsonl").unlink()
    more = ["--from-start"] if change == "asked" else []
    said = payspool("events", "import", str(file), "--no-durable", *more)
    assert said.stdout == "Published 2,999 events.\n"
    assert set(queue()) == {f"e-{i}" for i in range(1, 3_000)}
    kept = sorted(tmp_path.glob("*.rejects*"))
    assert all(refused(one) == [(1, "invalid_json")] for one in kept)
    assert len(kept) == (1 if change == "rejects gone" else 2)


def test_a_full_queue_is_waited_for(
    payspool: Any,
    queue: Any,
    tmp_path: Path,
    redis_url: str,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines(2_000)))
    limited(monkeypatch, redis_url, namespace, 15)
    seen: list[str] = []

    def drain(_: float) -> None:
        seen.extend(queue())
        with redis.Redis.from_url(redis_url) as client:
            client.delete(f"{namespace}:events", f"{namespace}:events.msgs")

    monkeypatch.setattr(event_import.time, "sleep", drain)
    assert payspool("events", "import", str(file), "--no-durable").exit_code == 0
    assert seen + queue() == [f"e-{i}" for i in range(2_000)]


def test_a_killed_import_goes_on_and_nothing_is_missing(
    payspool: Any, queue: Any, tmp_path: Path
) -> None:
    file = tmp_path / "events.csv"
    with file.open("w") as out:
        out.write(HEADER + "\n")
        out.writelines(
            csv_row(i, '"two\nlines"' if i % 7 == 0 else "") + "\n" for i in range(30_000)
        )
        out.write("cut,off\n")
    kept = tmp_path / "events.csv.import.json"
    command = [sys.executable, "-m", "payspool", "events", "import", str(file), "--no-durable"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PAYSPOOL_")} | payspool.env
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not kept.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    before = len(queue())
    assert 1_000 <= before < 30_000
    done = payspool("events", "import", str(file), "--no-durable")
    assert done.exit_code == 1
    assert done.stdout.startswith("Goes on behind line ")
    assert "Published 30,000 events." in done.stdout
    found = queue()
    assert set(found) == {f"e-{i}" for i in range(30_000)}
    assert len(found) <= 30_000 + event_import.CHUNK, "at most one chunk came twice"
    assert [reason for _, reason in refused(Path(f"{file}.rejects.jsonl"))] == ["broken_line"]


def test_two_imports_of_one_file_do_not_run_at_once(payspool: Any, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(lines(1)[0])
    with event_import._alone(file), pytest.raises(Forbidden, match="Another import of events"):
        payspool("events", "import", str(file))


def test_a_place_is_not_kept_for_what_the_disk_did_not_confirm(
    payspool: Any,
    tmp_path: Path,
    redis_url: str,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines(10)))
    monkeypatch.setattr(
        event_import,
        "publisher",
        lambda: Publisher(redis_url, namespace=namespace, durable_timeout=0.001),
    )
    with redis.Redis.from_url(redis_url) as client:
        before = client.config_get("appendfsync")["appendfsync"]
        client.config_set("appendfsync", "no")
        try:
            with pytest.raises(NotDurable):
                payspool("events", "import", str(file))
        finally:
            client.config_set("appendfsync", before)
    assert not (tmp_path / "events.jsonl.import.json").exists()


def test_the_usage_names_the_command_as_people_type_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "payspool", "events", "import", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Usage: payspool events import" in done.stdout
