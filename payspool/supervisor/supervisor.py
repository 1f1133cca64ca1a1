"""The supervisor: a loop of a few system calls four times a second, and an orderly end."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from payspool.embedded.guard import stop_in_order
from payspool.embedded.guarding import Guard
from payspool.supervisor.child import Child
from payspool.supervisor.errors import NotReady, StopRequested, UnknownProcess
from payspool.supervisor.spec import ProcessSpec, ProcessStatus

logger = logging.getLogger(__name__)

TICK_S = 0.25
TRIM_S = 10.0  # how often the logs' sizes are looked at
STOP_WITHIN_S = 30.0
SERVERS_STOP_S = 17.0  # kept for the servers: Valkey 6 s, PostgreSQL 8 s and 3 s
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Console = Callable[[str, str], None]


class Stoppable(Protocol):
    """The servers, which are stopped after all processes (`Embedded` is one)."""

    def stop(self, hurry: threading.Event | None = None) -> None: ...


class Supervisor:
    """Keeps processes alive and stops them in rank order, the servers last.

    A context manager; leaving it stops everything. `guard` is told of every process (by default
    one of our own is started); `servers` are stopped last. Each process logs to
    `<log_dir>/<name>.log`, of bounded size; `console`, if given, gets every line as (name, line).
    In the main thread, and unless `signals` is false, SIGINT, SIGTERM and SIGHUP ask for the
    orderly stop; a second one shortens every wait to a second.

        with Supervisor(log_dir=logs, guard=box.guard, servers=box) as supervisor:
            supervisor.add(ProcessSpec("worker", [sys.executable, "-m", "payspool", "worker"]))
            supervisor.wait_ready(30)
            supervisor.run()
    """

    def __init__(
        self,
        *,
        log_dir: Path,
        guard: Guard | None = None,
        servers: Stoppable | None = None,
        console: Console | None = None,
        signals: bool = True,
        stop_within_s: float = STOP_WITHIN_S,
    ) -> None:
        self._log_dir = log_dir
        self._guard = guard or Guard(log=log_dir / "guard.log")
        self._own_guard = guard is None
        self._servers = servers
        self._console = console
        self._signals = signals
        self._stop_within_s = stop_within_s
        self._children: dict[str, Child] = {}
        self._lock = threading.RLock()
        self._stopping = False
        self._asked = False
        self._asked_by: int | None = None
        self._hurry = threading.Event()
        self._handlers: dict[int, Any] = {}
        self._trimmed = time.monotonic()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def __enter__(self) -> Self:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        if self._own_guard:
            self._guard.start()
        if self._signals and threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            write, self._wake_write = self._wake_write, -1  # the number may soon be another file's
            os.close(write)
            os.close(self._wake_read)

    def add(self, spec: ProcessSpec) -> None:
        """Start a process and keep it alive. Raises CannotStart, and StopRequested while stopping."""
        with self._lock:
            if self._stopping:
                raise StopRequested
            assert spec.name not in self._children, f"two processes named {spec.name}"
            child = Child(spec, self._guard, self._log_dir)
            child.start(time.monotonic())
            self._children[spec.name] = child

    def remove(self, name: str) -> None:
        """Stop one process and forget it. Raises UnknownProcess."""
        with self._lock:
            child = self._child(name)
            self._stop_children([child], None)
            del self._children[name]

    def status(self) -> list[ProcessStatus]:
        """Every process as of the last look, in order of addition."""
        with self._lock:
            now = time.monotonic()
            return [child.status(now) for child in self._children.values()]

    def wait_ready(self, timeout_s: float, names: Iterable[str] | None = None) -> None:
        """Wait until these processes (by default all) are ready or have finished.

        Raises NotReady with the log's last lines, UnknownProcess, or StopRequested.
        """
        wanted = None if names is None else list(names)
        deadline = time.monotonic() + timeout_s
        while True:
            self._tick()
            if self._asked or self._stopping:
                raise StopRequested
            with self._lock:
                chosen = [self._child(n) for n in (self._children if wanted is None else wanted)]
                waiting = [c for c in chosen if c.state not in ("ready", "finished")]
            for child in waiting:
                if child.state == "failed":
                    raise self._not_ready(child, "ended at start")
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise self._not_ready(waiting[0], f"was not ready within {timeout_s:.0f} s")
            self._sleep(TICK_S / 5)

    def run(self, until: Callable[[], bool] | None = None) -> int | None:
        """Keep the processes alive until asked to stop, or until `until` says so.

        Returns the signal that asked, if one did. Does not stop anything itself: `stop` does, or
        leaving the context.
        """
        while not self._asked and not self._stopping:
            self._tick()
            if until is not None and until():
                break
            self._sleep(TICK_S)
        return self._asked_by

    def request_stop(self) -> None:
        """Ask `run` to return. From any thread, at any time, more than once."""
        self._asked = True
        self._wake()

    def stop(self) -> None:
        """Stop all processes in rank order, then the servers; within `stop_within_s` in all.

        A process that outlives its grace, or the share of the time that is not kept for the
        servers, is killed, and that is logged. Harmless the second time.
        """
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
            children = list(self._children.values())
        kept = SERVERS_STOP_S if self._servers is not None else 0.0
        self._stop_children(children, time.monotonic() + max(1.0, self._stop_within_s - kept))
        if self._servers is not None:
            self._servers.stop(self._hurry)
        if self._own_guard:
            self._guard.close()

    def _child(self, name: str) -> Child:
        try:
            return self._children[name]
        except KeyError:
            raise UnknownProcess(name, list(self._children)) from None

    def _not_ready(self, child: Child, reason: str) -> NotReady:
        return NotReady(child.spec.name, reason, child.log.path, child.log.tail())

    def _stop_children(self, children: list[Child], until: float | None) -> None:
        charges = [charge for child in children if (charge := child.charge()) is not None]
        stop_in_order(charges, logger.warning, self._hurry.is_set, until)
        for child in children:
            child.bury()
            self._show(child)

    def _tick(self) -> None:
        with self._lock:
            if self._stopping:
                return
            self._guard.check()
            for child in self._children.values():
                child.tick(time.monotonic())
                self._show(child)
            if time.monotonic() - self._trimmed > TRIM_S:
                self._trimmed = time.monotonic()
                for child in self._children.values():
                    with contextlib.suppress(OSError):  # a full disk must not end the watch
                        child.log.trim()

    def _show(self, child: Child) -> None:
        if self._console is not None:
            with contextlib.suppress(OSError):
                child.show(self._console)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # No lock may be taken here: the interrupted code may hold it.
        if self._asked:
            self._hurry.set()
        self._asked_by = self._asked_by or number
        self.request_stop()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: awake already; closed: nobody sleeps any more
            os.write(self._wake_write, b".")

    def _sleep(self, seconds: float) -> None:
        if select.select([self._wake_read], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
