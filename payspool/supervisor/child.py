"""One supervised process: its life, its restarts, its log."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path

from payspool.embedded.guard import Charge, start_mark
from payspool.embedded.guarding import Guard, charge_for
from payspool.embedded.logs import BoundedLog
from payspool.supervisor.errors import CannotStart
from payspool.supervisor.spec import ProcessSpec, ProcessStatus, State

logger = logging.getLogger(__name__)

CONSOLE_BYTES = (
    64 * 2**10
)  # read from a log at a time: a chatty process must not hold up the others


class Child:
    """A ProcessSpec and the process that currently fulfils it. Times are monotonic seconds."""

    def __init__(self, spec: ProcessSpec, guard: Guard, log_dir: Path) -> None:
        self.spec = spec
        self.log = BoundedLog(log_dir / f"{spec.name}.log")
        self.state: State = "starting"
        self.failing = False
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._charge: Charge | None = None
        self._started_at = 0.0
        self._starts = 0
        self._restart_at = 0.0
        self._delay_s = spec.restart.first_delay_s
        self._endings: deque[float] = deque(maxlen=spec.restart.loud_after)
        self._last_exit: int | None = None
        self._shown = 0
        self._partial = b""

    def start(self, now: float) -> None:
        """Start the process, in a session of its own: Ctrl-C reaches only the supervisor.

        Raises CannotStart.
        """
        self._shown = max(self._shown, self.log.size()) if self._starts == 0 else self._shown
        self._partial = b""
        output = self.log.open()
        try:
            self._process = subprocess.Popen(
                self.spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.spec.env},
                cwd=self.spec.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise CannotStart(self.spec.name, error.strerror or str(error)) from error
        finally:
            os.close(output)
        self._starts += 1
        self._started_at = now
        self.state = "starting"
        steps = ((signal.SIGTERM, self.spec.stop_grace_s),)
        self._charge = charge_for(self.spec.name, self._process.pid, self.spec.rank, steps)
        if self._charge is not None:
            self._guard.watch(self._charge)

    def tick(self, now: float) -> None:
        """Notice an ending, start again when it is time, ask whether it is ready."""
        if self._process is not None:
            if _has_ended(self._process):
                self._ended(now)
            else:
                self._look_after(now)
        elif self.state == "waiting" and now >= self._restart_at:
            try:
                self.start(now)
            except CannotStart as error:
                logger.warning("%s", error)
                self._wait(now)

    def charge(self) -> Charge | None:
        """What to stop now, if anything."""
        return self._charge if self._process is not None else None

    def bury(self) -> None:
        """After a stop: reap the process, unless it survived even that. It stays stopped."""
        if self._process is not None and start_mark(self._process.pid) is None:
            self._reap()
        self.state = "stopped"

    def status(self, now: float) -> ProcessStatus:
        """A snapshot."""
        alive = self._process is not None
        return ProcessStatus(
            name=self.spec.name,
            state=self.state,
            pid=self._process.pid if self._process else None,
            rank=self.spec.rank,
            uptime_s=now - self._started_at if alive else 0.0,
            restarts=max(0, self._starts - 1),
            last_exit=self._last_exit,
            failing=self.failing,
            log=self.log.path,
        )

    def show(self, console: Callable[[str, str], None]) -> None:
        """Hand new complete lines of the log to the console."""
        size = self.log.size()
        if size < self._shown:  # the log was cut
            self._shown = 0
        if size == self._shown:
            return
        with self.log.path.open("rb") as file:
            file.seek(self._shown)
            chunk = file.read(CONSOLE_BYTES)
        self._shown += len(chunk)
        lines = (self._partial + chunk).split(b"\n")
        self._partial = lines.pop()[-CONSOLE_BYTES:]
        for line in lines:
            console(self.spec.name, line.decode(errors="replace"))

    def _look_after(self, now: float) -> None:
        if self.state == "starting" and (self.spec.ready is None or self.spec.ready()):
            self.state = "ready"
        if now - self._started_at > self.spec.restart.healthy_after_s:
            self._delay_s = self.spec.restart.first_delay_s
            self.failing = False

    def _ended(self, now: float) -> None:
        lived = now - self._started_at
        status = self._reap()
        if not self.spec.restart.restarts(status):
            self.state = "finished" if status == 0 else "failed"
            if status != 0:
                logger.error(
                    "%s ended for good with %s; the last lines of %s:\n%s",
                    *(self.spec.name, status, self.log.path, self.log.tail()),
                )
            return
        logger.warning("%s ended with %s after %.1f s", self.spec.name, status, lived)
        self._wait(now)

    def _wait(self, now: float) -> None:
        """Plan the next start, and say loudly if this one is one too many."""
        policy = self.spec.restart
        self.state = "waiting"
        self._restart_at = now + self._delay_s
        self._delay_s = min(self._delay_s * 2, policy.longest_delay_s)
        self._endings.append(now)
        often = len(self._endings) == policy.loud_after
        if often and now - self._endings[0] <= policy.loud_within_s:
            self.failing = True
            logger.error(
                "%s ended %s times within %.0f s and is started again in %.1f s; "
                "the last lines of %s:\n%s",
                *(self.spec.name, policy.loud_after, now - self._endings[0]),
                *(self._restart_at - now, self.log.path, self.log.tail()),
            )
            self._endings.clear()  # the next report after as many endings again

    def _reap(self) -> int:
        """Collect the exit status, after killing what is left of the process's group.

        In this order: until it is reaped, the group's number cannot become somebody else's.
        """
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._last_exit = self._process.wait()
        self._guard.forget(self._process.pid)
        self._process = None
        self._charge = None
        return self._last_exit


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a child has ended, if possible without reaping it: a zombie keeps its number taken."""
    if hasattr(os, "waitid"):  # not on macOS before Python 3.13
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, process.pid, ended) is not None
        except ChildProcessError:  # reaped behind our back
            return True
    return process.poll() is not None
