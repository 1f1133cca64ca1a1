"""The supervising side of the guard: starts it, tells it what to watch, replaces it when it dies."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

from payspool.embedded import guard as guard_script
from payspool.embedded.guard import Charge, start_mark

logger = logging.getLogger(__name__)

REPLACE_DELAY_S = 1.0  # between two attempts to start a guard that keeps dying
CLOSE_WAIT_S = 60.0  # longer than the guard's own waits, which are bounded


class Rank(IntEnum):
    """The order of stopping, lowest first; the servers go last because all others talk to them."""

    INTAKE = 10
    WORKER = 20
    VALKEY = 80
    POSTGRES = 90


def charge_for(
    name: str,
    pid: int,
    rank: int,
    steps: Sequence[tuple[int, float]] = ((signal.SIGTERM, 10.0),),
    *,
    group: bool = True,
) -> Charge | None:
    """Describe a live child for the guard; None if it has ended already.

    `steps` are (signal, seconds to wait); SIGKILL follows by itself.
    """
    mark = start_mark(pid)
    if mark is None:
        return None
    all_steps = (
        *((int(number), float(wait)) for number, wait in steps),
        (int(signal.SIGKILL), 5.0),
    )
    return Charge(name, pid, mark, int(rank), all_steps, group)


class Guard:
    """A guard process and the list that it works from.

    `record` is a file that repeats the list, for the day when supervisor and guard are killed
    together: the next start finds there what was left behind (see `leftovers`).
    `inherit` are descriptors that the guard holds as long as it lives (the instance's lock, so
    that a new start waits until the old guard is done). `log` takes what it says.
    """

    def __init__(
        self,
        record: Path | None = None,
        log: Path | None = None,
        inherit: Sequence[int] = (),
    ) -> None:
        self._record = record
        self._log = log
        self._inherit = tuple(inherit)
        self._charges: dict[int, Charge] = {}
        self._folders: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._replaced_at = 0.0
        self._closed = False
        self._lock = threading.RLock()
        self.replacements = 0

    @property
    def pid(self) -> int | None:
        """The guard's process id, or None before `start` and after `close`."""
        return self._process.pid if self._process else None

    def start(self) -> Guard:
        """Start the process. Returns itself."""
        with self._lock:
            if self._process is None and not self._closed:
                self._spawn()
        return self

    def watch(self, charge: Charge) -> None:
        """From now on, stop this process when we die."""
        with self._lock:
            self._charges[charge.pid] = charge
            self._tell({"op": "watch", "charge": charge.as_json()})
            self._write_record()

    def forget(self, pid: int) -> None:
        """The process has ended."""
        with self._lock:
            if self._charges.pop(pid, None) is not None:
                self._tell({"op": "forget", "pid": pid})
                self._write_record()

    def sweep(self, folder: Path) -> None:
        """Remove this folder of sockets when all is stopped."""
        with self._lock:
            self._folders.append(str(folder))
            self._tell({"op": "sweep", "folder": str(folder)})

    def charges(self) -> list[Charge]:
        """What would be stopped now."""
        with self._lock:
            return list(self._charges.values())

    def check(self) -> None:
        """Replace the guard if it has died, and tell the new one everything. Cheap: one `waitpid`."""
        with self._lock:
            if self._closed or self._process is None or self._process.poll() is None:
                return
            now = time.monotonic()
            if now < self._replaced_at + REPLACE_DELAY_S:
                return
            self._replaced_at = now
            self.replacements += 1
            logger.warning("guard %s died; starting another", self._process.pid)
            self._drop()
            try:
                self._spawn()
            except OSError:
                logger.exception("no new guard can be started; trying again")

    def close(self) -> None:
        """End the guard; it first stops whatever has not been forgotten."""
        with self._lock:
            self._closed = True
            if self._process is None:
                return
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(CLOSE_WAIT_S)
            except subprocess.TimeoutExpired:
                logger.warning("guard %s does not end; killing it", self._process.pid)
                self._process.kill()
                self._process.wait()
            self._process = None
            self._charges.clear()
            self._write_record()

    def _spawn(self) -> None:
        script = guard_script.__file__
        output = self._open_log()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", script, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"LC_ALL": "C", "PATH": os.defpath},
                start_new_session=True,
                pass_fds=self._inherit,
            )
        finally:
            if output >= 0:
                os.close(output)
        for charge in self._charges.values():
            self._tell({"op": "watch", "charge": charge.as_json()})
        for folder in self._folders:
            self._tell({"op": "sweep", "folder": folder})

    def _open_log(self) -> int:
        if self._log is None:
            return subprocess.DEVNULL
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._log, flags, 0o600)

    def _drop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _tell(self, message: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            return
        # A dead guard is replaced by the next check(), and told everything again then.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _write_record(self) -> None:
        if self._record is None:
            return
        content = {
            "data_dir": str(self._record.parent),
            "charges": [charge.as_json() for charge in self._charges.values()],
        }
        try:
            write_private(self._record, json.dumps(content))
        except OSError:
            # A full disk: the guard has been told through its pipe, only the second net is missing.
            logger.exception("the list of processes %s cannot be written", self._record)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; readers see the old or the new one, and only the owner reads it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    aside.replace(path)
