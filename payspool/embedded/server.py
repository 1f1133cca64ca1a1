"""One server process: started behind its lock, watched by the guard, waited for, stopped."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from payspool.embedded.account import REFUSED, Account
from payspool.embedded.binaries import Binaries
from payspool.embedded.errors import (
    DiskFull,
    NoFreePort,
    NoServerAccount,
    ServerNotReady,
    ServerStillHeld,
)
from payspool.embedded.folders import Places, free_bytes
from payspool.embedded.guard import Charge, stop_in_order
from payspool.embedded.guarding import Guard, Rank, charge_for
from payspool.embedded.locks import try_lock
from payspool.embedded.logs import BoundedLog

logger = logging.getLogger(__name__)

LOCK_WAIT_S = 20.0  # for the children of a killed server, which notice its death by themselves
READY_S = 30.0  # without any sign of life
RECOVERY_S = 600.0  # while it says that it replays its log after a crash
READY_POLL_S = 0.01
REAP_S = 1.0  # between the last sign of life and the exit status
PORTS_TRIED = 20
RESTART_FIRST_S = 0.2


@dataclass(frozen=True)
class Setup:
    """What a server is started with. `password` is set if a TCP port was asked for."""

    places: Places
    binaries: Binaries
    account: Account
    guard: Guard
    run_dir: Path
    durable: bool
    password: str | None
    stopping: threading.Event  # set when whoever waits for a server should give up


class Server(ABC):
    """What PostgreSQL and Valkey have in common here.

    The server inherits its lock file: as long as it or any child of it lives, nobody can start a
    second one on the same data, whatever has happened to the processes that keep lists.
    """

    name: str
    title: str
    rank: Rank
    stop_steps: Sequence[tuple[int, float]] = ((signal.SIGTERM, 10.0),)

    def __init__(self, setup: Setup, port: int | None) -> None:
        self.places = setup.places
        self.binaries = setup.binaries
        self.account = setup.account
        self.guard = setup.guard
        self.run_dir = setup.run_dir
        self.durable = setup.durable
        self.password = setup.password
        self.stopping = setup.stopping
        self.port = port  # TCP, where one was asked for
        self.data = setup.places.server_data(self.name)
        self.log = BoundedLog(setup.places.logs / f"{self.name}.log")
        self._log_began = 0
        self.starts = 0
        self.started_at = 0.0  # monotonic
        self.restart_at = 0.0
        self.restart_delay_s = RESTART_FIRST_S
        self._process: subprocess.Popen[bytes] | None = None
        self._charge: Charge | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while it does not run."""
        return self._process.pid if self._process and self.is_alive() else None

    def is_alive(self) -> bool:
        """Whether the process runs (reaps it if it has ended)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises ServerStillHeld, ServerNotReady, NoFreePort and what `prepare` raises.
        """
        for attempt in range(PORTS_TRIED):
            try:
                self._start_once()
            except ServerNotReady as error:
                # Between finding a free port and binding it, somebody else may have taken it.
                if self.port is None or attempt == PORTS_TRIED - 1 or "in use" not in error.tail:
                    raise
                self.port = next_free_port(self.port + 1)
            else:
                return

    def stop(self, hurry: threading.Event | None = None) -> None:
        """Stop the server, step by step, bounded; the last step is SIGKILL."""
        if self._process is None:
            return
        if self._charge is not None and self.is_alive():
            in_a_hurry = hurry.is_set if hurry else lambda: False
            stop_in_order([self._charge], logger.warning, in_a_hurry)
        self._let_go()

    def _start_once(self) -> None:
        lock = self._take_lock()
        try:
            self.prepare()
            self._log_began = self.log.size()
            self._process = self.spawn(self.command(), self.log, keep=(lock,))
        finally:
            os.close(lock)  # the server holds it now
        self.started_at = time.monotonic()
        self._charge = self.watch(self.name, self._process)
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        self.starts += 1

    def spawn(
        self, command: Sequence[str | Path], log: BoundedLog | None, keep: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        """Run a program of the box: clean environment, own session, the servers' user.

        The environment is not ours but C, UTC and a path: PGDATA, PGPORT, a missing locale or a
        preloaded library of the caller's must not reach a server. Raises NoServerAccount.
        """
        output = log.open() if log else subprocess.PIPE
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output if log else subprocess.STDOUT,
                env={"LC_ALL": "C", "LANG": "C", "TZ": "UTC", "PATH": os.defpath},
                cwd=self.data,
                start_new_session=True,
                umask=0o077,
                pass_fds=tuple(keep),
                user=self.account.uid if self.account.switched else None,
                group=self.account.gid if self.account.switched else None,
                extra_groups=[] if self.account.switched else None,
            )
        except OSError as error:
            if self.account.switched and error.errno in REFUSED:
                raise NoServerAccount(error.strerror or str(error)) from error
            raise
        finally:
            if log:
                os.close(output)

    def watch(self, name: str, process: subprocess.Popen[bytes]) -> Charge | None:
        """Tell the guard of a process just started."""
        charge = charge_for(name, process.pid, self.rank, self.stop_steps)
        if charge is not None:
            self.guard.watch(charge)
        return charge

    def _take_lock(self) -> int:
        path = self.places.server_lock(self.name)
        deadline = time.monotonic() + LOCK_WAIT_S
        while (lock := try_lock(path)) is None:
            if time.monotonic() > deadline or self.stopping.is_set():
                raise ServerStillHeld(self.title, path)
            time.sleep(0.05)
        return lock

    def _wait_ready(self) -> None:
        assert self._process is not None
        began = told = time.monotonic()
        while not self.answers():
            now = time.monotonic()
            status = self._process.poll()
            if status is not None:
                raise self.not_ready(f"ended at start ({_ending(status)})")
            if self.stopping.is_set():
                raise self.not_ready("was stopped before it was ready")
            recovering = self.is_recovering()
            if now - began > (RECOVERY_S if recovering else READY_S):
                raise self.not_ready(f"did not answer within {now - began:.0f} s")
            if recovering and now - told > 10:
                told = now
                logger.info("%s is reading its log back, %.0f s so far", self.title, now - began)
            time.sleep(READY_POLL_S)

    def not_ready(self, reason: str) -> ServerNotReady | DiskFull:
        """The error for a start that failed, with what the server said since."""
        tail = self.log.tail(since=self._log_began)
        if "No space left on device" in tail:
            return DiskFull(self.places.data_dir, free_bytes(self.places.data_dir))
        return ServerNotReady(self.title, reason, self.log.path, tail)

    def _let_go(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:
            logger.exception("%s (%s) cannot be stopped", self.title, self._process.pid)
            return
        self.guard.forget(self._process.pid)
        self._process = None
        self._charge = None

    def has_died(self) -> bool:
        """Whether it ended without having been stopped; it is then forgotten and may be restarted."""
        if self._process is None or self._process.poll() is None:
            return False
        logger.error(
            "%s (%s) ended (%s); the last lines of %s:\n%s",
            self.title,
            self._process.pid,
            _ending(self._process.returncode),
            self.log.path,
            self.log.tail(),
        )
        self._let_go()
        return True

    @abstractmethod
    def prepare(self) -> None:
        """Make data folder and configuration; called before every start, behind the lock."""

    @abstractmethod
    def command(self) -> list[str | Path]:
        """The program and its arguments."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves requests."""

    @abstractmethod
    def is_recovering(self) -> bool:
        """Whether it says that it is busy with recovery, so that waiting longer makes sense."""


def _ending(status: int) -> str:
    if status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"


def next_free_port(first: int) -> int:
    """The first port from `first` on that nobody listens at on 127.0.0.1. Raises NoFreePort."""
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NoFreePort(first, PORTS_TRIED)
