"""Supervisor, guard and servers die in every combination: nothing remains, nothing is doubled."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from payspool.embedded import read_running
from payspool.embedded.guard import start_mark

RunBox = Callable[..., Any]
ServersOn = Callable[[Path], list[str]]

BOTH = ["postgres", "valkey-server"]


def acknowledge(endpoints: dict[str, str], value: str) -> None:
    """A message acknowledged by Valkey and a row committed in PostgreSQL."""
    with redis.Redis.from_url(endpoints["redis_url"]) as client:
        client.rpush("messages", value)
    with psycopg.connect(endpoints["owner_url"].replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS rows (v text)")
        connection.execute("INSERT INTO rows VALUES (%s)", (value,))


def acknowledged(endpoints: dict[str, str]) -> tuple[list[str], list[str]]:
    with redis.Redis.from_url(endpoints["redis_url"], decode_responses=True) as client:
        messages = client.lrange("messages", 0, -1)
    with psycopg.connect(endpoints["owner_url"].replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT v FROM rows ORDER BY v").fetchall()
    return messages, [row[0] for row in rows]


def test_after_kill_9_of_the_supervisor_nothing_remains_and_nothing_acknowledged_is_lost(
    run_box: RunBox, data_dir: Path, notes: Path, servers_on: ServersOn
) -> None:
    box = run_box(data_dir=data_dir, notes=notes).wait()
    for value in ("a", "b"):
        acknowledge(box.endpoints, value)
    acknowledge(box.endpoints, "c")
    box.kill("supervisor")
    assert box.survivors() == []
    assert servers_on(data_dir) == []
    assert not Path(box.endpoints["run_dir"]).exists()
    for name in ("intake", "worker"):
        assert (notes / f"{name}.drained").read_text() == "the servers were there"
    again = run_box(data_dir=data_dir).wait()
    assert acknowledged(again.endpoints) == (["a", "b", "c"], ["a", "b", "c"])
    assert again.stop() == 0


def test_a_start_right_after_kill_9_waits_for_the_old_guard_to_finish(
    run_box: RunBox, data_dir: Path, notes: Path, servers_on: ServersOn
) -> None:
    first = run_box(data_dir=data_dir, notes=notes).wait()
    acknowledge(first.endpoints, "a")
    first.kill("supervisor")
    second = run_box(data_dir=data_dir).wait()
    assert first.survivors(0) == []
    assert servers_on(data_dir) == BOTH
    assert acknowledged(second.endpoints) == (["a"], ["a"])


def test_what_a_killed_supervisor_and_guard_leave_is_stopped_by_the_next_start(
    run_box: RunBox, data_dir: Path, notes: Path, servers_on: ServersOn
) -> None:
    first = run_box(data_dir=data_dir, notes=notes).wait()
    acknowledge(first.endpoints, "a")
    first.kill("guard", "supervisor")
    time.sleep(0.3)
    assert set(first.survivors(0)) == {"intake", "worker", "postgres", "valkey"}
    assert read_running(data_dir) is None
    second = run_box(data_dir=data_dir).wait()
    assert first.survivors(0) == []
    assert servers_on(data_dir) == BOTH
    assert acknowledged(second.endpoints) == (["a"], ["a"])
    assert not Path(first.endpoints["run_dir"]).exists()
    assert (notes / "worker.drained").read_text() == "the servers were there"


def test_a_recorded_number_that_is_now_somebody_elses_is_not_signalled(
    run_box: RunBox, data_dir: Path
) -> None:
    first = run_box(data_dir=data_dir).wait()
    assert first.stop() == 0
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        same_age = start_mark(stranger.pid)
        charges = [
            # The number has been given anew since: another start time.
            _charge("worker", 20, stranger.pid, "long ago"),
            # Number and start time fit, the data directory does not.
            _charge("valkey", 80, stranger.pid, same_age),
        ]
        record = {"data_dir": str(data_dir), "charges": charges}
        (data_dir / "processes.json").write_text(json.dumps(record))
        second = run_box(data_dir=data_dir).wait()
        assert second.stop() == 0
        # Everything fits, but the record is that of the folder it was copied from.
        record = {
            "data_dir": "/elsewhere",
            "charges": [_charge("worker", 20, stranger.pid, same_age)],
        }
        (data_dir / "processes.json").write_text(json.dumps(record))
        third = run_box(data_dir=data_dir).wait()
        assert third.stop() == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def _charge(name: str, rank: int, pid: int, mark: str | None) -> dict[str, object]:
    steps = [[int(signal.SIGTERM), 1.0], [int(signal.SIGKILL), 1.0]]
    return {"name": name, "pid": pid, "mark": mark, "rank": rank, "steps": steps, "group": False}


def test_a_stale_pid_file_that_names_a_stranger_neither_stops_the_start_nor_hurts_the_stranger(
    run_box: RunBox, data_dir: Path
) -> None:
    first = run_box(data_dir=data_dir).wait()
    acknowledge(first.endpoints, "a")
    first.kill("guard", "supervisor", "valkey", "postgres")
    assert first.survivors() == []
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    assert lines[0] == str(first.pids["postgres"])
    # The servers' own user, so that PostgreSQL may signal it and would refuse to start.
    nobody = {"user": pid_file.stat().st_uid} if os.geteuid() == 0 else {}
    stranger = subprocess.Popen(["sleep", "60"], **nobody)
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        second = run_box(data_dir=data_dir).wait()
        assert "error" not in second.answer
        assert acknowledged(second.endpoints) == (["a"], ["a"])
        assert second.stop() == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_postgres_that_somebody_started_by_hand_is_reported_and_left_alone(
    run_box: RunBox, data_dir: Path
) -> None:
    first = run_box(data_dir=data_dir).wait()
    command = psutil.Process(first.pids["postgres"]).cmdline()
    assert first.stop() == 0
    owner = (data_dir / "postgres").stat()
    switch: dict[str, Any] = {}
    if os.geteuid() == 0:
        switch = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    own = ["-c", f"unix_socket_directories={data_dir / 'postgres'}"]
    by_hand = subprocess.Popen([*command, *own], stderr=subprocess.DEVNULL, cwd="/", **switch)
    try:
        pid_file = data_dir / "postgres" / "postmaster.pid"
        deadline = time.monotonic() + 10
        while not (pid_file.exists() and "ready" in pid_file.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        second = run_box(data_dir=data_dir).wait()
        assert second.answer["error"] == "ForeignPostgres"
        assert f"kill -INT {by_hand.pid}" in second.answer["message"]
        assert by_hand.poll() is None
    finally:
        by_hand.send_signal(signal.SIGINT)
        assert by_hand.wait(10) == 0
    third = run_box(data_dir=data_dir).wait()
    assert "error" not in third.answer


def test_ctrl_c_reaches_the_servers_only_after_the_workers_have_drained(
    run_box: RunBox, data_dir: Path, notes: Path, servers_on: ServersOn
) -> None:
    box = run_box(data_dir=data_dir, notes=notes).wait()
    os.killpg(box.process.pid, signal.SIGINT)  # what a terminal does
    assert box.process.wait(15) == 0
    for name in ("intake", "worker"):
        assert (notes / f"{name}.drained").read_text() == "the servers were there"
    assert box.survivors(1) == []
    assert servers_on(data_dir) == []
    log = (data_dir / "logs" / "valkey.log").read_text()
    assert "bye bye" in log, "stopped in order, not killed"
    assert "database system is shut down" in (data_dir / "logs" / "postgres.log").read_text()


def test_a_killed_guard_is_replaced_and_the_new_one_knows_everything(
    run_box: RunBox, data_dir: Path, notes: Path, servers_on: ServersOn
) -> None:
    box = run_box(data_dir=data_dir, notes=notes).wait()
    box.kill("guard")
    deadline = time.monotonic() + 5
    while _guards_of(box.pids["supervisor"]) in ([], [box.pids["guard"]]):
        assert time.monotonic() < deadline, "no other guard came"
        time.sleep(0.05)
    time.sleep(0.2)  # it is told through the pipe, which outlives the supervisor anyway
    box.kill("supervisor")
    assert box.survivors() == []
    assert servers_on(data_dir) == []


def _guards_of(supervisor: int) -> list[int]:
    """Living guards; one that ends while it is looked at is none."""
    found = []
    for child in psutil.Process(supervisor).children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != "zombie" and "guard.py" in str(child.cmdline()):
                found.append(child.pid)
    return found


def test_a_supervisor_killed_during_initdb_leaves_nothing_and_the_next_start_works(
    run_box: RunBox, data_dir: Path, servers_on: ServersOn
) -> None:
    first = run_box(data_dir=data_dir)
    deadline = time.monotonic() + 10
    while not list(data_dir.glob("postgres.new.*")):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    first.process.kill()
    first.process.wait()
    second = run_box(data_dir=data_dir).wait()
    assert "error" not in second.answer
    assert servers_on(data_dir) == BOTH
    second.stop()
    run_box(data_dir=data_dir).wait().stop()
    assert list(data_dir.glob("postgres.new.*")) == []


def test_kill_9_again_and_again_loses_nothing_acknowledged(run_box: RunBox, data_dir: Path) -> None:
    expected = []
    for number in range(3):
        box = run_box(data_dir=data_dir).wait()
        expected.append(str(number))
        acknowledge(box.endpoints, str(number))
        box.kill("supervisor", *(["guard"] if number % 2 else []))
    last = run_box(data_dir=data_dir).wait()
    assert acknowledged(last.endpoints) == (expected, expected)
