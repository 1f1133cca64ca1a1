"""The guard alone, with processes of the tests' own."""

import os
import platform
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from payspool.embedded import Guard, charge_for
from payspool.embedded import guard as script
from payspool.embedded.guard import is_same, signal_same, start_mark, stop_in_order

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
NOTING = """
import pathlib, signal, sys, time
def end(*_):
    time.sleep(float(sys.argv[2]))
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[3] + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
time.sleep(60)
"""

Run = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts a Python program in a session of its own and waits for its first line."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_it_starts_in_a_moment() -> None:
    command = [sys.executable, "-I", "-S", script.__file__, str(os.getpid())]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=10)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert used < 0.15, "of processor time; on an idle machine 0.02 s"


def test_the_lowest_rank_stops_first_and_each_waits_for_the_one_before(
    run: Run, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    guard = Guard().start()
    for name, rank, seconds in (("last", 90, "0"), ("middle", 20, "0.2"), ("first", 10, "0.4")):
        process, _ = run(NOTING, str(notes), seconds, name)
        charge = charge_for(name, process.pid, rank)
        assert charge is not None
        guard.watch(charge)
    guard.close()
    assert notes.read_text().split() == ["first", "middle", "last"]


def test_what_does_not_listen_is_killed_after_its_grace(run: Run) -> None:
    process, _ = run(STUBBORN)
    charge = charge_for("stubborn", process.pid, 20, [(signal.SIGTERM, 0.3)])
    assert charge is not None
    said: list[str] = []
    began = time.monotonic()
    assert stop_in_order([charge], said.append) == []
    assert 0.2 < time.monotonic() - began < 3
    assert process.wait(1) == -signal.SIGKILL
    (sentence,) = said
    assert re.fullmatch(rf"stubborn \({process.pid}\) still runs after \d\.\d s: SIGKILL", sentence)


def test_hurry_cuts_every_wait_to_a_second(run: Run) -> None:
    process, _ = run(STUBBORN)
    charge = charge_for("stubborn", process.pid, 20, [(signal.SIGTERM, 60)])
    assert charge is not None
    began = time.monotonic()
    stop_in_order([charge], lambda _: None, hurry=lambda: time.monotonic() - began > 0.2)
    assert time.monotonic() - began < 5
    assert process.wait(1) == -signal.SIGKILL


def test_children_of_a_stopped_process_are_killed_with_it(run: Run) -> None:
    process, child = run(PARENT, STUBBORN)
    mark = start_mark(int(child))
    assert mark is not None
    charge = charge_for("parent", process.pid, 20)
    assert charge is not None
    stop_in_order([charge], lambda _: None)
    deadline = time.monotonic() + 2
    while is_same(int(child), mark):
        assert time.monotonic() < deadline, "the child survives its parent"
        time.sleep(0.02)


def test_a_number_with_another_start_time_is_never_signalled(run: Run) -> None:
    process, _ = run(STUBBORN)
    mark = start_mark(process.pid)
    assert mark is not None
    assert not signal_same(process.pid, mark + "0", signal.SIGKILL)
    charge = charge_for("stranger", process.pid, 20)
    assert charge is not None
    assert stop_in_order([charge._replace(mark="long ago")], lambda _: None) == []
    assert process.poll() is None
    assert signal_same(process.pid, mark, 0)


def test_a_zombie_counts_as_gone(run: Run) -> None:
    process, _ = run("print('bye')")
    deadline = time.monotonic() + 5
    while start_mark(process.pid) is not None:  # not reaped: we have not waited for it
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert charge_for("zombie", process.pid, 20) is None


def test_a_process_whose_first_thread_has_ended_is_not_gone_before_its_others(run: Run) -> None:
    exit_thread = {"x86_64": 60, "aarch64": 93}.get(platform.machine())
    if sys.platform != "linux" or exit_thread is None:
        pytest.skip("ends a thread by its Linux system call")
    program = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(0.8,)).start()\n"
        "print('up', flush=True)\n"
        f"ctypes.CDLL(None).syscall({exit_thread}, 0)"
    )
    process, _ = run(program)
    time.sleep(0.3)
    assert "Z (zombie)" in Path(f"/proc/{process.pid}/status").read_text()
    assert start_mark(process.pid) is not None
    deadline = time.monotonic() + 5
    while start_mark(process.pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_signals_that_end_others_do_not_end_it(run: Run) -> None:
    process, _ = run(STUBBORN)
    charge = charge_for("worker", process.pid, 20, [(signal.SIGTERM, 0.1)])
    assert charge is not None
    guard = Guard().start()
    guard.watch(charge)
    time.sleep(0.2)
    assert guard.pid is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(guard.pid, number)
    time.sleep(0.2)
    guard.check()
    assert guard.replacements == 0
    guard.close()
    assert process.wait(1) == -signal.SIGKILL


def test_what_was_forgotten_is_left_alone(run: Run, tmp_path: Path) -> None:
    process, _ = run(STUBBORN)
    guard = Guard(record=tmp_path / "processes.json").start()
    charge = charge_for("worker", process.pid, 20)
    assert charge is not None
    guard.watch(charge)
    assert str(process.pid) in (tmp_path / "processes.json").read_text()
    guard.forget(process.pid)
    assert str(process.pid) not in (tmp_path / "processes.json").read_text()
    guard.close()
    assert process.poll() is None


def test_its_folders_are_removed_but_never_what_a_link_points_to(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp_path / "sockets").mkdir()
    (tmp_path / "sockets" / "s").touch()
    (tmp_path / "link").symlink_to(precious)
    guard = Guard().start()
    for name in ("sockets", "link"):
        guard.sweep(tmp_path / name)
    guard.close()
    assert not (tmp_path / "sockets").exists()
    assert (precious / "file").exists()


def test_a_copy_of_the_supervisor_that_holds_the_pipe_does_not_deceive_it(
    run: Run, tmp_path: Path
) -> None:
    worker, _ = run(STUBBORN)
    program = f"""
import os, sys, time
from payspool.embedded import Guard, charge_for
guard = Guard().start()
guard.watch(charge_for("worker", {worker.pid}, 20, [(15, 0.1)]))
if os.fork() == 0:
    time.sleep(20)  # holds the writing end, as multiprocessing's children do
    os._exit(0)
print("up", flush=True)
time.sleep(20)
"""
    supervisor, _ = run(f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n{program}")
    supervisor.kill()
    assert worker.wait(5) == -signal.SIGKILL
