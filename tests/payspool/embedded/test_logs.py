"""Logs stay short without getting in the writer's way."""

import os
from pathlib import Path

from payspool.embedded.logs import BoundedLog


def test_a_log_over_its_limit_moves_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "x.log", limit_bytes=100)
    writer = log.open()
    os.write(writer, b"old\n" * 50)
    log.trim()
    assert log.size() == 0
    os.write(writer, b"new\n")
    os.close(writer)
    assert (tmp_path / "x.log").read_text() == "new\n"
    assert (tmp_path / "x.log.1").read_text() == "old\n" * 25, "never more than the limit"


def test_a_log_within_its_limit_stays_as_it_is(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "x.log", limit_bytes=100)
    log.trim()
    for _ in range(2):
        writer = log.open()
        os.write(writer, b"line\n")
        os.close(writer)
    assert (tmp_path / "x.log").read_text() == "line\nline\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.log"]


def test_the_tail_is_the_last_lines_of_what_was_written_since(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "x.log")
    assert log.tail() == ""
    log.path.write_text("".join(f"{n}\n" for n in range(100)))
    assert log.tail(2) == "98\n99"
    since = log.size()
    assert log.tail(since=since) == ""
    with log.path.open("a") as file:
        file.write("after\n")
    assert log.tail(since=since) == "after"
