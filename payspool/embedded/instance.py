"""Who runs on a data directory: the lock, and the file that says since when and at which addresses."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from payspool.embedded.errors import AlreadyRunning, StillStopping
from payspool.embedded.folders import Places, storage_error
from payspool.embedded.guard import is_same, start_mark
from payspool.embedded.guarding import write_private
from payspool.embedded.locks import try_lock

# A dead supervisor's guard drains workers and servers, each wait bounded; see Guard and its steps.
CLEANUP_WAIT_S = 45.0
POLL_S = 0.05


@dataclass(frozen=True)
class Endpoints:
    """How to reach the running servers. URLs for SQLAlchemy (psycopg) and for redis-py.

    The plain ones lead over Unix sockets; the `tcp` ones exist only where a port was asked for.
    """

    owner_url: str
    runtime_url: str
    admin_url: str
    redis_url: str
    data_dir: Path
    run_dir: Path
    runtime_tcp_url: str | None = None
    owner_tcp_url: str | None = None
    redis_tcp_url: str | None = None


@dataclass(frozen=True)
class Instance:
    """The content of `servers.json`."""

    pid: int
    mark: str
    since: datetime
    run_dir: Path | None = None
    address: str | None = None
    endpoints: Endpoints | None = None

    def is_alive(self) -> bool:
        """Whether the process that wrote this still runs (not merely its number)."""
        return is_same(self.pid, self.mark)


def this_process(now: datetime | None = None) -> Instance:
    """An Instance for ourselves, starting now."""
    mark = start_mark(os.getpid())
    assert mark is not None, "a running process has a start time"
    return Instance(os.getpid(), mark, now or datetime.now(UTC))


def write_instance(places: Places, instance: Instance) -> None:
    """Make an instance known to other processes of this user (the file holds passwords: 0600)."""
    content = asdict(instance)
    content["since"] = instance.since.isoformat()
    write_private(places.instance, json.dumps(content, default=str, indent=1))


def read_instance(places: Places) -> Instance | None:
    """What the last instance wrote, alive or not; None if there is nothing readable."""
    try:
        raw = json.loads(places.instance.read_text())
        endpoints = None
        if raw["endpoints"]:
            known = raw["endpoints"]
            known |= {key: Path(known[key]) for key in ("data_dir", "run_dir")}
            endpoints = Endpoints(**known)
        return Instance(
            pid=int(raw["pid"]),
            mark=str(raw["mark"]),
            since=datetime.fromisoformat(raw["since"]),
            run_dir=Path(raw["run_dir"]) if raw["run_dir"] else None,
            address=raw["address"],
            endpoints=endpoints,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_running(data_dir: Path) -> Endpoints | None:
    """How to reach the servers of the instance that runs on a data directory; None if none does."""
    instance = read_instance(Places(Path(os.path.abspath(data_dir))))  # noqa: PTH100 (no links)
    if instance is None or not instance.is_alive():
        return None
    return instance.endpoints


def claim(places: Places) -> int:
    """Take the instance's lock; the descriptor that holds it.

    A lock whose holder is a dead supervisor's guard is waited for, at most CLEANUP_WAIT_S.

    Raises AlreadyRunning, StillStopping, DataDirUnusable.
    """
    began = time.monotonic()
    while True:
        try:
            held = try_lock(places.instance_lock)
        except OSError as error:
            raise storage_error(places.data_dir, error) from error
        if held is not None:
            return held
        holder = read_instance(places)
        if holder is not None and holder.is_alive():
            raise AlreadyRunning(places.data_dir, holder.since, holder.pid, holder.address)
        waited = time.monotonic() - began
        if waited > CLEANUP_WAIT_S:
            raise StillStopping(places.data_dir, waited)
        time.sleep(POLL_S)


def withdraw(places: Places) -> None:
    """Nobody runs here any more."""
    with contextlib.suppress(FileNotFoundError):
        places.instance.unlink()
