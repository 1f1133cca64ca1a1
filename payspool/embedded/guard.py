"""The guard: a small process that stops what a supervisor started when the supervisor dies.

It holds the reading end of a pipe whose writing end only the supervisor has. However the supervisor
ends, `kill -9` included, the kernel closes that pipe, and the guard then stops every process that it
was told of: lowest rank first (intake, workers, Valkey, PostgreSQL).

This file is run as a script (`python -I -S guard.py <supervisor's pid>`), and imported for the same
functions by the supervising side. It therefore uses the standard library alone, and little of that:
it starts in some ten milliseconds and idles at a few megabytes.

A process is signalled only while its identity, process id and start time, is the one recorded: a
number that the system has given to somebody else since is never touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

POLL_S = 0.05  # how often a process that is being stopped is looked at
PARENT_CHECK_S = (
    1.0  # a forked copy of the supervisor can hold the pipe open; its parent id cannot lie
)
KILL_WAIT_S = 5.0  # after SIGKILL only an uninterruptible disk wait can keep a process
HURRY_S = 1.0  # what is left of every patience after a second Ctrl-C
MAX_MESSAGE_BYTES = 1 << 20

Log = Callable[[str], None]


class Charge(NamedTuple):
    """A process to be stopped: who it is, when its turn comes, and how it is asked.

    `steps` are (signal, seconds to wait after it), and end with SIGKILL.
    With `group`, what is left of its process group is killed once it has gone.
    """

    name: str
    pid: int
    mark: str
    rank: int
    steps: tuple[tuple[int, float], ...]
    group: bool

    def as_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Charge:
        steps = tuple((int(number), float(seconds)) for number, seconds in raw["steps"])
        return cls(
            name=str(raw["name"]),
            pid=int(raw["pid"]),
            mark=str(raw["mark"]),
            rank=int(raw["rank"]),
            steps=steps,
            group=bool(raw["group"]),
        )


def start_mark(pid: int) -> str | None:
    """The start time of a live process in a form that never changes, or None if there is none.

    On Linux: the boot's id and the start in clock ticks since boot, which no clock step moves.
    A zombie counts as gone: it holds no file and no socket any more.
    """
    if sys.platform == "linux":
        found = _read_stat(pid)
        return found[0] if found else None
    return {pid: mark for pid, _, mark in _ps_rows("-p", str(pid))}.get(pid)


def is_same(pid: int, mark: str) -> bool:
    """Whether the process that had this id at that start time still lives."""
    return start_mark(pid) == mark


def signal_same(pid: int, mark: str, number: int) -> bool:
    """Send a signal to exactly that process; False if it is gone or the number is somebody else's.

    Where Linux offers it, the process is pinned by a pidfd first, so that the number cannot change
    hands between the look and the signal.
    """
    pinned = -1
    try:
        pinned = _pidfd(pid)
        if not is_same(pid, mark):
            return False
        if pinned >= 0 and sys.platform == "linux":
            signal.pidfd_send_signal(pinned, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    finally:
        if pinned >= 0:
            os.close(pinned)
    return True


def _pidfd(pid: int) -> int:
    if sys.platform == "linux" and hasattr(os, "pidfd_open"):
        try:
            return os.pidfd_open(pid)
        except ProcessLookupError:
            raise
        except OSError:  # a kernel or a sandbox without it
            return -1
    return -1


def group_members(leader: int) -> list[tuple[int, str]]:
    """The live processes of a process group, each with its start mark."""
    if sys.platform == "linux":
        rows = ((pid, _read_stat(pid)) for pid in _linux_pids())
        return [(pid, stat[0]) for pid, stat in rows if stat and stat[1] == leader]
    return [(pid, mark) for pid, group, mark in _ps_rows("-A") if group == leader]


def _linux_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 (light)


def _read_stat(pid: int) -> tuple[str, int] | None:
    """Start mark and process group, from /proc/<pid>/stat (proc_pid_stat(5), fields 3, 5, 20, 22)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (pathlib is not imported here)
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20 or fields[0] == b"X":
        return None
    # A zombie whose other threads have not ended yet still holds its files.
    if fields[0] == b"Z" and int(fields[17]) <= 1:
        return None
    return f"{_boot_id()}/{int(fields[19])}", int(fields[2])


_boot: list[str] = []


def _boot_id() -> str:
    if not _boot:
        try:
            with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123
                _boot.append(file.read().strip())
        except OSError:
            _boot.append("boot")
    return _boot[0]


def _ps_rows(*which: str) -> list[tuple[int, int, str]]:
    """(pid, process group, start mark) where there is no /proc."""
    import subprocess

    command = ["/bin/ps", *which, "-o", "pid=,pgid=,stat=,lstart="]
    answer = subprocess.run(
        command, capture_output=True, text=True, env={"LC_ALL": "C", "TZ": "UTC"}, check=False
    )
    rows = (line.split(None, 3) for line in answer.stdout.splitlines())
    return [(int(r[0]), int(r[1]), r[3]) for r in rows if len(r) == 4 and not r[2].startswith("Z")]


def stop_in_order(
    charges: Iterable[Charge],
    log: Log,
    hurry: Callable[[], bool] = lambda: False,
    until: float | None = None,
) -> list[Charge]:
    """Stop processes, lowest rank first; those of one rank together. Returns those that survived.

    `hurry` is asked all the time: once true, every wait is cut to a second.
    `until` (monotonic seconds) is when patience ends: from then on the steps follow at once.
    """
    waiting = list(charges)
    survivors: list[Charge] = []
    for rank in sorted({charge.rank for charge in waiting}):
        survivors += _stop_rank([c for c in waiting if c.rank == rank], log, hurry, until)
    return survivors


class _Stopping:
    """One process on its way out: the step it is at, and until when that step may take."""

    def __init__(self, charge: Charge, log: Log) -> None:
        self.charge = charge
        self.log = log
        self.step = 0
        self.began = time.monotonic()
        self.deadline = self.began
        # Read while the leader is known to be alive: afterwards the group's number proves nothing.
        live = charge.group and is_same(charge.pid, charge.mark)
        self.members = group_members(charge.pid) if live else []

    def begin(self) -> None:
        self._send(self.charge.steps[0])

    def _send(self, step: tuple[int, float]) -> None:
        number, seconds = step
        signal_same(self.charge.pid, self.charge.mark, number)
        self.deadline = time.monotonic() + seconds

    def gone(self) -> bool:
        if is_same(self.charge.pid, self.charge.mark):
            return False
        for pid, mark in self.members:
            if pid != self.charge.pid and signal_same(pid, mark, signal.SIGKILL):
                self.log(f"killed {pid}, left behind by {self.charge.name} ({self.charge.pid})")
        return True

    def press_on(self, limit: float | None) -> bool:
        """Take the next step when this one's time is over; False when no step is left."""
        now = time.monotonic()
        pressed = limit is not None and now >= limit
        last = len(self.charge.steps) - 1
        if now < self.deadline and not (pressed and self.step < last):
            return True
        if self.step == last:
            self.log(f"{self.charge.name} ({self.charge.pid}) survives SIGKILL")
            return False
        self.step += 1
        number, seconds = self.charge.steps[self.step]
        name = signal.Signals(number).name
        waited = now - self.began
        self.log(f"{self.charge.name} ({self.charge.pid}) still runs after {waited:.1f} s: {name}")
        if self.charge.group and number == signal.SIGKILL:
            self.members = group_members(self.charge.pid)
        if self.step == last:
            seconds = KILL_WAIT_S
        elif pressed:
            seconds = min(seconds, HURRY_S)
        self._send((number, seconds))
        return True


def _stop_rank(
    charges: Sequence[Charge], log: Log, hurry: Callable[[], bool], until: float | None
) -> list[Charge]:
    pending = [_Stopping(charge, log) for charge in charges]
    for one in pending:
        one.begin()
    survivors: list[Charge] = []
    while pending:
        if hurry():
            soon = time.monotonic() + HURRY_S
            until = soon if until is None else min(until, soon)
        for one in list(pending):
            if one.gone():
                pending.remove(one)
            elif not one.press_on(until):
                pending.remove(one)
                survivors.append(one.charge)
        if pending:
            time.sleep(POLL_S)
    return survivors


def empty_folder(path: str, prefix: str = "") -> None:
    """Remove the files of a folder whose names begin so.

    Never follows a link: the folder is the servers' user's, and we may be root.
    """
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        for name in os.listdir(folder):  # noqa: PTH208
            if name.startswith(prefix):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def sweep_folder(path: str) -> None:
    """Remove a folder of sockets, if it is still there."""
    empty_folder(path)
    with contextlib.suppress(OSError):
        os.rmdir(path)  # noqa: PTH106 (pathlib is not imported here)


class _Watch:
    """What the guard has been told so far."""

    def __init__(self) -> None:
        self.charges: dict[int, Charge] = {}
        self.folders: list[str] = []
        self._rest = b""

    def hear(self, chunk: bytes) -> None:
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()[-MAX_MESSAGE_BYTES:]
        for line in lines:
            message = json.loads(line)
            if message["op"] == "watch":
                charge = Charge.from_json(message["charge"])
                self.charges[charge.pid] = charge
            elif message["op"] == "forget":
                self.charges.pop(message["pid"], None)
            else:
                self.folders.append(message["folder"])


def _say(text: str) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        os.write(2, f"{now} guard {os.getpid()}: {text}\n".encode(errors="replace"))


def main() -> None:
    """Listen until the supervisor is gone, then stop everything that it had started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    supervisor = int(sys.argv[1])  # told, not asked: it may have died before we could ask
    watch = _Watch()
    while True:
        if select.select([0], [], [], PARENT_CHECK_S)[0]:
            chunk = os.read(0, 65536)
            if not chunk:
                break
            watch.hear(chunk)
        elif os.getppid() != supervisor:
            break
    if watch.charges:
        names = ", ".join(f"{c.name} ({c.pid})" for c in watch.charges.values())
        _say(f"the supervisor {supervisor} is gone; stopping {names}")
        stop_in_order(watch.charges.values(), _say)
        _say("done")
    for folder in watch.folders:
        sweep_folder(folder)


if __name__ == "__main__":
    main()
