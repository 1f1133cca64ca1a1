"""Data directories that root's servers can enter too, and the box in a process of its own."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from payspool.embedded import scratch_data_dir
from payspool.embedded.guard import is_same, start_mark, sweep_folder

CHECKOUT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("run_box.py")
START_S = 30.0
END_S = 10.0


class Box:
    """A running run_box.py."""

    def __init__(self, options: dict[str, Any], **how: Any) -> None:
        path = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": path, **how.pop("env", {})}
        self.process = subprocess.Popen(
            [how.pop("python", sys.executable), str(PROGRAM), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            cwd="/",
            start_new_session=True,
            **how,
        )
        self.answer: dict[str, Any] = {}
        self.marks: dict[int, str | None] = {}

    def wait(self) -> "Box":
        """Until it says that it runs, or why it does not."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait(START_S)}"
        self.answer = json.loads(line)
        self.marks = {pid: start_mark(pid) for pid in self.answer.get("pids", {}).values()}
        return self

    @property
    def pids(self) -> dict[str, int]:
        return self.answer["pids"]

    @property
    def endpoints(self) -> dict[str, str]:
        return self.answer["endpoints"]

    def kill(self, *names: str) -> None:
        for name in names:
            os.kill(self.pids[name], signal.SIGKILL)
        if "supervisor" in names:
            self.process.wait(END_S)

    def survivors(self, within_s: float = END_S) -> list[str]:
        """What still runs of it, after waiting for an end."""
        deadline = time.monotonic() + within_s
        while True:
            alive = [
                name
                for name, pid in self.pids.items()
                if (mark := self.marks[pid]) is not None and is_same(pid, mark)
            ]
            if not alive or time.monotonic() > deadline:
                return alive
            time.sleep(0.05)

    def stop(self) -> int:
        """The orderly end; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(START_S)

    def close(self) -> None:
        """Nothing remains, whatever the test did."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(END_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        if "pids" in self.answer and self.survivors():
            for pid, mark in self.marks.items():
                if mark is not None and is_same(pid, mark):
                    os.kill(pid, signal.SIGKILL)
        if "endpoints" in self.answer:
            sweep_folder(self.endpoints["run_dir"])


@pytest.fixture
def run_box(data_dir: Path) -> Iterator[Callable[..., Box]]:
    """Starts run_box.py with options; does not wait for it. Stopped before the data is removed."""
    running: list[Box] = []

    def start(how: dict[str, Any] | None = None, **options: Any) -> Box:
        box = Box(
            {key: str(v) if isinstance(v, Path) else v for key, v in options.items()}, **(how or {})
        )
        running.append(box)
        return box

    yield start
    for box in running:
        box.close()


@pytest.fixture(scope="session")
def discard() -> Iterator[Callable[[Path], None]]:
    """Removes folders beside the tests: a database has a thousand files."""
    removals: list[subprocess.Popen[bytes]] = []
    yield lambda folder: removals.append(subprocess.Popen(["rm", "-rf", str(folder)]))
    for removal in removals:
        removal.wait(60)


@pytest.fixture
def data_dir(discard: Callable[[Path], None]) -> Iterator[Path]:
    folder = scratch_data_dir(_roomy_memory())
    yield folder
    discard(folder)


def _roomy_memory() -> Path | None:
    """Memory as a disk, where there is plenty of it.

    A fresh database is 46 MB in a thousand files, made and removed by each test. What these tests
    kill are processes; memory keeps their files as well as a disk does.
    """
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > 2**31 else None


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def another_user(discard: Callable[[Path], None]) -> Iterator[Callable[..., dict[str, Any]]]:
    """How to run a program as another user, by number or name, with a home folder of his own."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    made: list[Path] = []

    def ways(user: str, uid: int | None = None) -> dict[str, Any]:
        number = pwd.getpwnam(user).pw_uid if uid is None else uid
        folder = scratch_data_dir(_roomy_memory())
        folder.chmod(0o700)
        os.chown(folder, number, number)
        made.append(folder)
        how = {"user": number, "group": number, "extra_groups": []}
        path = f"{CHECKOUT}:{Path(psutil.__file__).parents[1]}"
        env = {"HOME": str(folder), "XDG_DATA_HOME": "", "PYTHONPATH": path}
        return {**how, "env": env, "python": _python_for(how, env)}

    yield ways
    for folder in made:
        discard(folder)


def _python_for(how: dict[str, Any], env: dict[str, str]) -> str:
    """A Python that this user may run: ours can lie in a folder that is closed to others."""
    version = f"python3.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(version, path=os.defpath)):
        with contextlib.suppress(OSError):
            command = [python or "", "-c", "import psycopg, psutil"]
            if subprocess.run(command, env=env, cwd="/", check=False, **how).returncode == 0:
                return str(python)
    pytest.skip(f"no {version} that another user may run")


@pytest.fixture
def servers_on() -> Callable[[Path], list[str]]:
    """Names the server programs that work on a data directory, whoever started them."""

    def look(data_dir: Path) -> list[str]:
        found = [
            process
            for process in psutil.process_iter(["name", "cwd", "ppid"])
            if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(data_dir)
        ]
        pids = {process.pid for process in found}
        return sorted(p.info["name"] for p in found if p.info["ppid"] not in pids)

    return look
