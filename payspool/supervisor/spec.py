"""What to run, and what is known of it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from payspool.embedded.guarding import Rank

Ready = Callable[[], bool]
State = Literal["starting", "ready", "waiting", "finished", "failed", "stopped"]

PROBE_TIMEOUT_S = 0.2


@dataclass(frozen=True)
class RestartPolicy:
    """When and how fast an ended process is started again.

    `when`: "always", "on-failure" (not after exit status 0) or "never". Delays in seconds: the
    first, doubled up to the longest; after `healthy_after_s` alive they begin afresh. Ending
    `loud_after` times within `loud_within_s` is reported as an error with the log's last lines.
    """

    when: Literal["always", "on-failure", "never"] = "always"
    first_delay_s: float = 0.2
    longest_delay_s: float = 10.0
    healthy_after_s: float = 30.0
    loud_after: int = 4
    loud_within_s: float = 60.0

    def restarts(self, exit_status: int) -> bool:
        """Whether a process that ended with this status (negative: a signal) is started again."""
        return self.when == "always" or (self.when == "on-failure" and exit_status != 0)


@dataclass(frozen=True)
class ProcessSpec:
    """A process to keep alive.

    `env` is added to our own environment. `ready` says whether it serves; it is asked four times a
    second until it says yes, must answer within a fraction of a second, and must not raise; None
    means ready at once. `rank`
    is when it is stopped, lowest first. It gets SIGTERM and `stop_grace_s` seconds, then SIGKILL.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    rank: int = Rank.WORKER
    ready: Ready | None = None
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    stop_grace_s: float = 10.0
    cwd: Path | None = None


@dataclass(frozen=True)
class ProcessStatus:
    """How a process is now.

    `state`: starting, ready, waiting (for its next restart), finished (ended with 0 and stays so),
    failed (ended otherwise and stays so), stopped. `failing`: it keeps ending right after its start.
    """

    name: str
    state: State
    pid: int | None
    rank: int
    uptime_s: float
    restarts: int
    last_exit: int | None
    failing: bool
    log: Path


def port_answers(port: int, host: str = "127.0.0.1") -> Ready:
    """Ready when somebody listens at a TCP port."""

    def ready() -> bool:
        try:
            with closing(socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S)):
                return True
        except OSError:
            return False

    return ready


def file_exists(path: Path) -> Ready:
    """Ready when a file is there. The process, or whoever starts it, removes an old one first."""
    return path.exists
