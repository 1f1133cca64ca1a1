"""Where data and sockets live, and what must be true of those folders."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from payspool.embedded.account import Account, require_reachable, server_account
from payspool.embedded.errors import (
    DataDirUnusable,
    DiskFull,
    ForeignFolder,
    ModelessFilesystem,
    NoRunDirectory,
    UnreachableForNobody,
)

ROOT_HOME = Path("/var/lib/payspool")
INSTANCE_LOCK = "instance.lock"  # also what tells a data directory of ours from any other folder
OUR_FOLDERS = ("conf", "logs", "postgres", "valkey")
NAME_TAIL_CHARS = 40
# The address of a Unix socket holds 104 bytes on macOS and 108 on Linux, its end mark included
# (unix(4), unix(7)); the longest name that we put into the folder is `.s.PGSQL.65535.lock`.
SOCKET_PATH_BYTES = 100
LONGEST_SOCKET_NAME = len("/.s.PGSQL.65535.lock")
RUN_PREFIX = "payspool-"


@dataclass(frozen=True)
class Places:
    """Every path of one data directory."""

    data_dir: Path

    @property
    def instance_lock(self) -> Path:
        return self.data_dir / INSTANCE_LOCK

    @property
    def instance(self) -> Path:
        return self.data_dir / "servers.json"

    @property
    def processes(self) -> Path:
        return self.data_dir / "processes.json"

    @property
    def secret(self) -> Path:
        return self.data_dir / "secret"

    @property
    def conf(self) -> Path:
        return self.data_dir / "conf"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    def server_lock(self, server: str) -> Path:
        return self.data_dir / f"{server}.lock"

    def server_data(self, server: str) -> Path:
        return self.data_dir / server


def default_data_dir(checkout: Path) -> Path:
    """The data directory of a checkout: one per path, below the user's data directory.

    `~/.local/share/payspool` (or `$XDG_DATA_HOME/payspool`), on macOS
    `~/Library/Application Support/payspool`, for root `/var/lib/payspool/data`.
    """
    resolved = checkout.resolve()
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:8]
    tail = re.sub(r"[^A-Za-z0-9._-]+", "-", resolved.name)[:NAME_TAIL_CHARS].strip("-.")
    return _user_data_home() / f"{tail or 'checkout'}-{digest}"


def _user_data_home() -> Path:
    if os.geteuid() == 0:
        return ROOT_HOME / "data"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "payspool"
    wished = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification: a relative path is invalid and to be ignored.
    home = Path(wished) if wished.startswith("/") else Path.home() / ".local" / "share"
    return home / "payspool"


def prepare_data_dir(data_dir: Path, account: Account) -> Places:
    """Make the data directory, and check that it can be ours alone.

    Changes the mode of no folder that it has not made.
    Raises DataDirUnusable, ForeignFolder, ModelessFilesystem, DiskFull, UnreachableForNobody.
    """
    places = Places(Path(os.path.abspath(data_dir)))  # noqa: PTH100 (resolves no links)
    try:
        _make_data_dir(places.data_dir, account)
        require_reachable(places.data_dir, account)
        _make_private_folder(places.logs)
        _make_private_folder(places.conf)
    except OSError as error:
        raise storage_error(places.data_dir, error) from error
    account.share_for_reading(places.conf, 0o700)
    return places


def storage_error(data_dir: Path, error: OSError) -> DataDirUnusable | DiskFull:
    """The sentence for an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(data_dir, free_bytes(data_dir))
    reason = error.strerror or str(error)
    return DataDirUnusable(data_dir, f"{reason}: {error.filename}" if error.filename else reason)


def free_bytes(path: Path) -> int:
    """Free space of the file system that holds a path, or 0 if it cannot be told."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path).free
    return 0


def _make_data_dir(data_dir: Path, account: Account) -> None:
    if data_dir.exists():
        if not data_dir.is_dir():
            raise DataDirUnusable(data_dir, "it is not a folder")
        owner = data_dir.stat().st_uid
        if owner != os.geteuid():
            raise DataDirUnusable(data_dir, f"it belongs to user id {owner}")
        # In this order: another start may just be making both, the lock file first.
        found = [name for name in OUR_FOLDERS if (data_dir / name).exists()]
        if found and not (data_dir / INSTANCE_LOCK).exists():
            raise ForeignFolder(data_dir, found[0])
    else:
        make_parents(data_dir.parent, account)
        data_dir.mkdir(exist_ok=True)  # eight may start at once
        # Root's servers are another user, who must pass through here to the folder that is theirs.
        data_dir.chmod(0o711 if account.switched else 0o700)
    os.close(os.open(data_dir / INSTANCE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def make_parents(folder: Path, account: Account) -> None:
    """Make what is missing above a data directory; root's so that `nobody` can pass through."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        if account.switched:
            one.chmod(0o755)


def _make_private_folder(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise DataDirUnusable(folder.parent, f"{folder.name} belongs to user id {owner}")
    try:
        folder.chmod(0o700)
    except PermissionError:
        raise ModelessFilesystem(folder.parent) from None
    if stat.S_IMODE(folder.stat().st_mode) & 0o007:
        raise ModelessFilesystem(folder.parent)


def make_server_folder(folder: Path, account: Account) -> None:
    """A folder that only the servers' user can enter. Raises DataDirUnusable if it is another's."""
    if not folder.exists():
        folder.mkdir(mode=0o700)
        account.hand_over(folder)
    owner = folder.stat().st_uid
    if owner != account.uid:
        raise DataDirUnusable(
            folder.parent, f"{folder.name} belongs to user id {owner}, who started it before"
        )


def make_run_dir(account: Account, temp_dir: Path | None = None) -> Path:
    """A new private folder for sockets, directly under the temporary directory.

    A fresh name each time: nobody else can have made it before us.
    Raises NoRunDirectory if none with a short enough path can be made.
    """
    base = usable_temp_dir(account, temp_dir)
    made = Path(tempfile.mkdtemp(prefix=RUN_PREFIX, dir=base))
    account.hand_over(made)
    return made


def usable_temp_dir(account: Account, temp_dir: Path | None = None) -> str:
    """The first temporary directory that is writable, short, and open to the servers' user.

    Raises NoRunDirectory.
    """
    tried: list[str] = []
    for base in _temp_dirs(temp_dir):
        length = len(os.fsencode(base)) + len("/" + RUN_PREFIX) + 8 + LONGEST_SOCKET_NAME
        if length > SOCKET_PATH_BYTES:
            tried.append(f"{base}, too long")
            continue
        if "," in base:  # to libpq, a comma separates hosts
            tried.append(f"{base}, a comma in it")
            continue
        try:
            require_reachable(Path(base), account)
            Path(tempfile.mkdtemp(prefix=RUN_PREFIX, dir=base)).rmdir()
        except UnreachableForNobody:
            tried.append(f"{base}, closed to the servers' user")
        except OSError as error:
            tried.append(f"{base}, {error.strerror}")
        else:
            return base
    raise NoRunDirectory("; ".join(tried) or "none")


def _temp_dirs(temp_dir: Path | None) -> list[str]:
    if temp_dir is not None:
        return [str(temp_dir)]
    # Not tempfile.gettempdir(): it ends in the working directory, which is no place for sockets.
    wished = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    bases = [base for base in wished if base.startswith("/")] + ["/tmp", "/var/tmp"]  # noqa: S108
    return list(dict.fromkeys(bases))


def scratch_data_dir(temp_dir: Path | None = None) -> Path:
    """A new data directory under the temporary directory (or `temp_dir`), for tests.

    The caller removes it.

    Root's temporary folders are closed to everybody else; this one lets the servers' user pass.
    Raises NoRunDirectory if there is no writable temporary directory.
    """
    account = server_account()
    base = usable_temp_dir(account, temp_dir)
    folder = Path(tempfile.mkdtemp(prefix="payspool-data-", dir=base))
    folder.chmod(0o711 if account.switched else 0o700)
    return folder
