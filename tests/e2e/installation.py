"""An installation of one test: data, ports and a command line of its own, as real processes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, text

from domain.db import connect
from payspool.embedded import (
    Embedded,
    Endpoints,
    default_data_dir,
    read_running,
    scratch_data_dir,
)
from payspool.embedded.guard import is_same, start_mark

CHECKOUT = Path(__file__).parents[2]
COMMAND_SECONDS = 60.0
START_SECONDS = 90.0
"""`payspool up` needs some 8 s on two free cores; they may be anything but free."""
END_SECONDS = 60.0
"""Within so long an orderly end must have happened."""
LOOK_SECONDS = 0.05
MARK = "TEST_INSTALLATION"


def wait_for(what: str, seen: Callable[[], object], seconds: float) -> float:
    """Wait until ``seen()`` is true; returns after how many seconds it was."""
    began = time.monotonic()
    while not seen():
        assert time.monotonic() - began < seconds, f"after {seconds:.0f} s still not: {what}"
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - began


@dataclass
class Started:
    """A command that runs, and the file that it writes to."""

    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_until_it_says(self, words: str, seconds: float = START_SECONDS) -> None:
        def said() -> bool:
            if words in self.said():
                return True
            status = self.process.poll()
            assert status is None, f"it ended with {status}:\n{self.said()}"
            return False

        wait_for(f"it says {words!r}, but only:\n{self.said()}", said, seconds)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(END_SECONDS)

    def end(self, seconds: float = END_SECONDS) -> int:
        """Its exit status, once it has ended by itself."""
        return self.process.wait(seconds)


class Installation:
    """Payspool on a folder of its own. ``env`` adds to our environment without its PAYSPOOL_ names.

    ``usual_place`` leaves its data where a checkout keeps them that nobody told otherwise.
    """

    def __init__(
        self,
        folder: Path,
        *,
        checkout: Path = CHECKOUT,
        usual_place: bool = False,
        **env: str,
    ) -> None:
        self.folder, self.checkout = folder, checkout
        self.data = default_data_dir(checkout) if usual_place else folder / "data"
        self._token = secrets.token_hex(8)
        self._started: list[Started] = []
        self._seen: dict[int, str] = {}
        self._engines: dict[str, Engine] = {}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PAYSPOOL_")}
        self.env = inherited | {
            "PAYSPOOL_API_PORT": "0",
            "PAYSPOOL_TRANSFERS_PER_SECOND": "0",  # the rate has tests of its own
            "COLUMNS": "300",  # a table in a pipe is not to be folded
            MARK: self._token,
            **env,
        }
        if not usual_place:
            self.env["PAYSPOOL_DATA_DIR"] = str(self.data)

    # Commands

    def run(
        self, *arguments: str, seconds: float = COMMAND_SECONDS, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line to its end."""
        return subprocess.run(
            [sys.executable, "-m", "payspool", *arguments],
            cwd=self.checkout,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def ok(self, *arguments: str, **env: str) -> str:
        """What a command says that has to end well."""
        done = self.run(*arguments, **env)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """What a command says with --json."""
        return json.loads(self.ok(*arguments, "--json"))

    def refused(self, *arguments: str, **env: str) -> str:
        """The sentence of a command that has to end with 1, and without a stack trace."""
        done = self.run(*arguments, **env)
        assert done.returncode == 1, f"{arguments}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def start(self, *arguments: str, **env: str) -> Started:
        """Start a command in a session of its own, as a terminal does."""
        output = self.folder / f"output-{len(self._started)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "payspool", *arguments],
                cwd=self.checkout,
                env=self.env | env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        started = Started(process, output)
        self._started.append(started)
        return started

    def up(self, **env: str) -> Started:
        """`payspool up`, once it serves."""
        started = self.start("up", **env)
        started.wait_until_it_says("Ctrl-C stops everything")
        self.processes()
        return started

    # What runs

    def processes(self) -> dict[int, str]:
        """Every process of it by number, with what it is called. Remembered for ``remains``."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            if self._is_of_it(process):
                found[process.pid] = process
        for started in self._started:
            if started.process.returncode is None and psutil.pid_exists(started.process.pid):
                for child in psutil.Process(started.process.pid).children(recursive=True):
                    found[child.pid] = child  # the guard: it has no environment
        named: dict[int, str] = {}
        for pid in found:
            mark = start_mark(pid)
            if mark is not None:
                self._seen.setdefault(pid, mark)
                named[pid] = _command(pid)
        return named

    def pid_of(self, *words: str) -> int | None:
        """The process whose command line has these words; the oldest, if there are several."""
        pids = [pid for pid, name in self.processes().items() if _has(name, words)]
        return min(pids, default=None)

    def remains(self, seconds: float) -> list[str]:
        """What of all that was ever seen still runs after so many seconds at most."""
        deadline = time.monotonic() + seconds
        while True:
            alive = [pid for pid, mark in self._seen.items() if is_same(pid, mark)]
            alive += [pid for pid in self.processes() if pid not in alive]
            if not alive or time.monotonic() > deadline:
                return [_command(pid) for pid in alive]
            time.sleep(LOOK_SECONDS)

    def kill_everything(self) -> None:
        """As a power cut does: no process of it can do anything any more."""
        self.processes()
        # The guard first, which would stop the others in order.
        for pid in sorted(self._seen, key=lambda pid: "guard.py" not in _command(pid)):
            if is_same(pid, self._seen[pid]):
                os.kill(pid, signal.SIGKILL)
        assert self.remains(END_SECONDS) == []

    def close(self) -> None:
        """Nothing remains, whatever the test did."""
        self.processes()
        for engine in self._engines.values():
            engine.dispose()
        for started in self._started:
            if started.process.poll() is None:
                started.process.kill()
            started.process.wait(END_SECONDS)
        if self.remains(END_SECONDS):
            for pid, mark in self._seen.items():
                if is_same(pid, mark):
                    os.kill(pid, signal.SIGKILL)
        for folder in (self.data, self.folder):
            shutil.rmtree(folder, ignore_errors=True)

    def _is_of_it(self, process: psutil.Process) -> bool:
        if process.pid == os.getpid():
            return False
        try:
            with process.oneshot():
                return process.environ().get(MARK) == self._token or Path(
                    process.cwd()
                ).is_relative_to(self.data)
        except psutil.Error:
            return False

    # What it holds

    def runs(self, kind: str = "up") -> bool:
        return read_running(self.data / kind) is not None

    def has_instance(self, kind: str = "up") -> bool:
        return (self.data / kind / "instance.json").exists()

    def endpoints(self, kind: str = "up") -> Endpoints:
        found = read_running(self.data / kind)
        assert found is not None, f"no {kind} runs on {self.data}"
        return found

    def engine(self, kind: str = "up") -> Engine:
        """As the runtime role, while it runs."""
        url = self.endpoints(kind).runtime_url
        if url not in self._engines:
            self._engines[url] = connect(url, pool_size=4, application_name="test")
        return self._engines[url]

    def rows(self, statement: str, kind: str = "up", **values: Any) -> Sequence[Any]:
        with self.engine(kind).begin() as tx:
            return tx.execute(text(statement), values).all()

    def instance(self, kind: str = "up") -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.data / kind / "instance.json").read_text())
        return told

    @contextmanager
    def opened(self, kind: str) -> Iterator[Endpoints]:
        """Its servers alone, after its end."""
        with Embedded(self.data / kind) as box:
            yield box.endpoints


def _command(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return f"process {pid}"


def _has(name: str, words: Sequence[str]) -> bool:
    parts = name.split()
    return all(word in parts for word in words)


def new_folder() -> Path:
    """A folder for an installation: in memory, where there is plenty of it.

    What these tests kill are processes; memory keeps their files as well as a disk does.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**31
    return scratch_data_dir(memory if roomy else None)


@contextmanager
def installed(
    checkout: Path = CHECKOUT, *, usual_place: bool = False, **env: str
) -> Iterator[Installation]:
    """An installation that is gone afterwards, processes and data."""
    made = Installation(new_folder(), checkout=checkout, usual_place=usual_place, **env)
    try:
        yield made
    finally:
        made.close()
