"""Real child processes, kept alive and stopped."""

import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from payspool.embedded import Rank
from payspool.supervisor import (
    CannotStart,
    NotReady,
    ProcessSpec,
    RestartPolicy,
    StopRequested,
    Supervisor,
    UnknownProcess,
    file_exists,
    port_answers,
)

SLEEPER = "import time; print('up'); time.sleep(60)"
CRASHER = "import sys; print('the reason is here'); sys.exit(3)"
LEAVER = """
import signal, sys, time
def end(*_):
    time.sleep(float(sys.argv[3]))
    open(sys.argv[1], "a").write(sys.argv[2] + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
open(sys.argv[4], "w").close()
time.sleep(60)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
QUICK = RestartPolicy(first_delay_s=0.1, longest_delay_s=0.8, loud_after=3, loud_within_s=30)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(log_dir=tmp_path / "logs", signals=False) as made:
        yield made


def python(name: str, program: str, *arguments: str, **more: object) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-c", program, *arguments], **more)  # type: ignore[arg-type]


def run_until(supervisor: Supervisor, true: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    supervisor.run(until=lambda: true() or time.monotonic() > deadline)
    assert true(), "it never came true"


def test_a_dead_process_comes_back(supervisor: Supervisor) -> None:
    supervisor.add(python("worker", SLEEPER))
    supervisor.wait_ready(5)
    [before] = supervisor.status()
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    run_until(supervisor, lambda: supervisor.status()[0].restarts == 1)
    [after] = supervisor.status()
    assert after.pid not in (None, before.pid)
    assert after.last_exit == -signal.SIGKILL


def test_a_crashing_process_is_restarted_ever_more_slowly_and_reported_loudly(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    times: list[float] = []
    note = tmp_path / "starts"
    program = f"import time; open({str(note)!r}, 'a').write(str(time.time()) + '\\n')\n{CRASHER}"
    with caplog.at_level(logging.ERROR):
        supervisor.add(python("worker", program, restart=QUICK))
        run_until(supervisor, lambda: note.exists() and len(note.read_text().split()) == 5)
    times = [float(line) for line in note.read_text().split()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] < 0.8
    assert gaps[3] > 0.8, "the delay has grown to its limit"
    [status] = supervisor.status()
    assert status.failing
    assert status.last_exit == 3
    [loud] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "worker ended 3 times within" in loud.getMessage()
    assert "the reason is here" in loud.getMessage()


def test_what_a_dead_process_leaves_of_its_group_is_killed_before_it_is_restarted(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    note = tmp_path / "child"
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]])\n"
        "open(sys.argv[2], 'w').write(str(child.pid))\n"
        "time.sleep(60)"
    )
    supervisor.add(python("worker", program, DEAF, str(note), ready=file_exists(note)))
    supervisor.wait_ready(5)
    time.sleep(0.1)
    child = psutil.Process(int(note.read_text()))
    pid = supervisor.status()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    run_until(supervisor, lambda: supervisor.status()[0].restarts == 1)
    assert not child.is_running() or child.status() == "zombie"


def test_a_finished_process_stays_finished_where_that_is_the_policy(
    supervisor: Supervisor,
) -> None:
    supervisor.add(python("migrate", "", restart=RestartPolicy("on-failure")))
    supervisor.add(python("once", CRASHER, restart=RestartPolicy("never")))
    run_until(supervisor, lambda: all(s.pid is None for s in supervisor.status()))
    states = {s.name: (s.state, s.restarts, s.last_exit) for s in supervisor.status()}
    assert states == {"migrate": ("finished", 0, 0), "once": ("failed", 0, 3)}
    supervisor.wait_ready(1, ["migrate"])
    with pytest.raises(NotReady, match="once ended at start"):
        supervisor.wait_ready(1)


def test_readiness_is_waited_for_and_its_absence_explained(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve = (
        "import socket, time; time.sleep(0.3)\n"
        f"server = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    )
    supervisor.add(python("api", serve, ready=port_answers(port)))
    assert supervisor.status()[0].state == "starting"
    supervisor.wait_ready(10)
    assert supervisor.status()[0].state == "ready"
    supervisor.add(python("never", SLEEPER, ready=file_exists(tmp_path / "no")))
    supervisor.wait_ready(1, ["api"])
    with pytest.raises(NotReady, match="never was not ready within 1 s") as refusal:
        supervisor.wait_ready(1)
    assert refusal.value.tail == "up"
    with pytest.raises(UnknownProcess, match=r"no process nine; there are: api, never\."):
        supervisor.wait_ready(1, ["nine"])


def test_a_command_that_does_not_exist_is_refused_at_once(supervisor: Supervisor) -> None:
    with pytest.raises(CannotStart, match="No such file or directory"):
        supervisor.add(ProcessSpec("odd", ["/no/such/program"]))
    assert supervisor.status() == []


def test_intake_stops_before_the_workers_and_the_servers_last(tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    class Servers:
        def stop(self, hurry: threading.Event | None = None) -> None:
            with notes.open("a") as file:
                file.write("servers\n")

    with Supervisor(log_dir=tmp_path, signals=False, servers=Servers()) as supervisor:
        for name, rank, seconds in (("worker", Rank.WORKER, "0"), ("intake", Rank.INTAKE, "0.3")):
            up = tmp_path / f"{name}.up"
            supervisor.add(
                python(
                    name,
                    LEAVER,
                    str(notes),
                    name,
                    seconds,
                    str(up),
                    rank=rank,
                    ready=file_exists(up),
                )
            )
        supervisor.wait_ready(10)
    assert notes.read_text().split() == ["intake", "worker", "servers"]


def test_the_end_is_bounded_even_when_a_process_does_not_listen(tmp_path: Path) -> None:
    with Supervisor(log_dir=tmp_path, signals=False, stop_within_s=1.0) as supervisor:
        supervisor.add(python("deaf", DEAF, stop_grace_s=60))
        supervisor.wait_ready(5)
        time.sleep(0.3)
        [status] = supervisor.status()
        began = time.monotonic()
    assert 0.9 < time.monotonic() - began < 5
    assert status.pid is not None
    assert not psutil.pid_exists(status.pid)


def test_a_process_can_be_taken_out_while_the_others_go_on(supervisor: Supervisor) -> None:
    supervisor.add(python("one", SLEEPER))
    supervisor.add(python("two", SLEEPER))
    supervisor.wait_ready(5)
    supervisor.remove("one")
    supervisor.add(python("three", SLEEPER))
    supervisor.wait_ready(5)
    assert [(s.name, s.state) for s in supervisor.status()] == [
        ("two", "ready"),
        ("three", "ready"),
    ]


def test_it_works_in_a_thread_and_stops_when_asked_from_another(tmp_path: Path) -> None:
    with Supervisor(log_dir=tmp_path) as supervisor:
        handler = signal.getsignal(signal.SIGINT)
        thread = threading.Thread(target=supervisor.run)
        thread.start()
        supervisor.add(python("worker", SLEEPER))
        deadline = time.monotonic() + 5
        while supervisor.status()[0].state != "ready":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        supervisor.request_stop()
        thread.join(2)
        assert not thread.is_alive()
        with pytest.raises(StopRequested):
            supervisor.wait_ready(1)
    assert signal.getsignal(signal.SIGINT) is not handler, "our handlers are gone"
    with pytest.raises(StopRequested):
        supervisor.add(python("late", SLEEPER))


def test_every_line_reaches_the_console_with_its_process_name(tmp_path: Path) -> None:
    lines: list[tuple[str, str]] = []
    console = lambda name, line: lines.append((name, line))  # noqa: E731
    talker = "import sys; print('one'); print('two', file=sys.stderr); print('half', end='')"
    once = RestartPolicy("never")
    (tmp_path / "talker.log").write_text("of an earlier run\n")
    with Supervisor(log_dir=tmp_path, signals=False, console=console) as supervisor:
        supervisor.add(python("talker", talker, restart=once))
        run_until(supervisor, lambda: supervisor.status()[0].state == "finished")
    assert lines == [("talker", "one"), ("talker", "two")]
    assert (tmp_path / "talker.log").read_text() == "of an earlier run\none\ntwo\nhalf"


def test_the_environment_is_ours_and_the_given_one(supervisor: Supervisor, tmp_path: Path) -> None:
    note = tmp_path / "note"
    program = f"import os; open({str(note)!r}, 'w').write(os.environ['MINE'] + os.getcwd())"
    spec = python(
        "worker", program, env={"MINE": "yes "}, cwd=tmp_path, restart=RestartPolicy("never")
    )
    supervisor.add(spec)
    run_until(supervisor, lambda: supervisor.status()[0].state == "finished")
    assert note.read_text() == f"yes {tmp_path}"


CTRL_C = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from payspool.supervisor import ProcessSpec, Supervisor
with Supervisor(log_dir=Path(sys.argv[1])) as supervisor:
    supervisor.add(ProcessSpec("deaf", [sys.executable, "-c", sys.argv[3]], stop_grace_s=60))
    supervisor.wait_ready(5)
    print("up", flush=True)
    asked = supervisor.run()
    print(asked, flush=True)
"""


def test_a_second_ctrl_c_speeds_the_end_up(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[3]
    command = [sys.executable, "-c", CTRL_C, str(tmp_path), str(checkout), DEAF]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"2\n"
        time.sleep(0.5)
        assert process.poll() is None, "it gives the process its time"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5


def test_it_idles_at_next_to_nothing(supervisor: Supervisor) -> None:
    for number in range(8):
        supervisor.add(python(f"worker{number}", SLEEPER))
    supervisor.wait_ready(10)
    deadline = time.monotonic() + 2
    before = time.thread_time()
    supervisor.run(until=lambda: time.monotonic() > deadline)
    used = time.thread_time() - before
    assert used / 2 < 0.01, "on an idle machine 0.1 % of a core"
