"""What the box cannot do, it says in one sentence that tells the reader what to do."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from payspool.embedded import Embedded, binaries
from payspool.embedded.errors import (
    BinariesMissing,
    DataDirUnusable,
    DiskFull,
    ForeignFolder,
    ModelessFilesystem,
    MuslPlatform,
    NoRunDirectory,
    OtherPostgresMajor,
    ServerNotReady,
    UnreachableForNobody,
    UnsupportedPlatform,
)

RunBox = Callable[..., Any]
AnotherUser = Callable[..., dict[str, Any]]
as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can mount, and become another user"
)


@pytest.mark.parametrize(
    ("system", "machine", "host", "outcome"),
    [
        ("Linux", "x86_64", "x86_64-pc-linux-gnu", "linux-x86_64"),
        ("Linux", "aarch64", "aarch64-unknown-linux-gnu", "linux-aarch64"),
        ("Darwin", "arm64", "arm-apple-darwin", "darwin-arm64"),
        ("Darwin", "x86_64", "x86_64-apple-darwin", "darwin-x86_64"),
        ("Linux", "x86_64", "x86_64-pc-linux-musl", MuslPlatform),
        ("Linux", "riscv64", "riscv64-unknown-linux-gnu", UnsupportedPlatform),
        ("Windows", "AMD64", "", UnsupportedPlatform),
    ],
)
def test_platforms_without_binaries_are_named(
    system: str, machine: str, host: str, outcome: str | type[Exception]
) -> None:
    if isinstance(outcome, str):
        assert binaries.valkey_folder(system, machine, host) == outcome
        return
    with pytest.raises(outcome, match="PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL"):
        binaries.valkey_folder(system, machine, host)


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "VALKEY_PACKAGE", "no_such_package")
    with pytest.raises(BinariesMissing, match=r"no_such_package are missing .* run `make install`"):
        binaries.installed_binaries()


def test_a_user_id_without_a_name_is_refused_before_initdb_fails_on_it(
    run_box: RunBox, another_user: AnotherUser, tmp_path: Path
) -> None:
    answer = run_box(checkout=tmp_path, how=another_user("", uid=54321)).wait().answer
    assert answer["error"] == "NamelessUser"
    assert "User id 54321 has no name" in answer["message"]


def test_a_data_directory_of_another_user_is_refused(
    run_box: RunBox, another_user: AnotherUser, data_dir: Path
) -> None:
    data_dir.chmod(0o755)
    answer = run_box(data_dir=data_dir, how=another_user("daemon")).wait().answer
    assert answer["error"] == "DataDirUnusable"
    assert "it belongs to user id 0" in answer["message"]


def test_a_home_folder_that_cannot_be_written_is_refused(
    run_box: RunBox, another_user: AnotherUser, tmp_path: Path
) -> None:
    how = another_user("daemon")
    how["env"]["HOME"] = "/proc/1"
    answer = run_box(checkout=tmp_path, how=how).wait().answer
    assert answer["error"] == "DataDirUnusable"
    assert "PAYSPOOL_DATA_DIR" in answer["message"]


def test_a_folder_that_holds_something_else_under_our_names_is_left_alone(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "precious").touch()
    with pytest.raises(ForeignFolder, match="postgres is not Payspool's"):
        Embedded(data_dir).start()
    assert [path.name for path in data_dir.iterdir()] == ["postgres"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirUnusable, match="not a folder"):
        Embedded(tmp_path / "file").start()
    with pytest.raises(DataDirUnusable, match="Not a directory"):
        Embedded(tmp_path / "file" / "below").start()


@as_root
def test_root_is_told_of_a_folder_that_nobody_cannot_enter_and_its_mode_stays(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(UnreachableForNobody, match="below /var/lib/payspool"):
        Embedded(closed / "data").start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_a_root_that_may_not_become_nobody_is_told_so(run_box: RunBox, data_dir: Path) -> None:
    # A user namespace that knows no other user than root.
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    probe = subprocess.run(["unshare", "-U", "-r", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("user namespaces are switched off")
    program = Path(__file__).with_name("run_box.py")
    answer = subprocess.run(
        ["unshare", "-U", "-r", sys.executable, str(program), f'{{"data_dir": "{data_dir}/d"}}'],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        timeout=30,
        check=False,
    )
    assert "NoServerAccount" in answer.stdout, answer.stderr
    assert "as the user nobody, and that fails here" in answer.stdout


def test_no_usable_temporary_directory_is_said_with_what_was_tried(
    data_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(NoRunDirectory, match=r"No such file or directory.*set TMPDIR"):
        Embedded(data_dir, temp_dir=Path("/nowhere")).start()
    with pytest.raises(NoRunDirectory, match="too long"):
        Embedded(data_dir, temp_dir=tmp_path / ("t" * 100)).start()
    with Embedded(data_dir):
        pass


@pytest.mark.parametrize(("version", "advice"), [("19", "install the Payspool"), ("16", "pg_dump")])
def test_data_of_another_major_version_is_not_touched(
    data_dir: Path, version: str, advice: str
) -> None:
    with Embedded(data_dir, durable=False):
        pass
    file = data_dir / "postgres" / "PG_VERSION"
    file.write_text(f"{version}\n")
    with pytest.raises(OtherPostgresMajor, match=f"PostgreSQL {version} .*{advice}"):
        Embedded(data_dir).start()
    file.write_text("18\n")
    with Embedded(data_dir, durable=False):
        pass


def test_a_server_that_ends_at_start_shows_its_last_words_and_nothing_stays(
    data_dir: Path, servers_on: Callable[[Path], list[str]]
) -> None:
    with Embedded(data_dir, durable=False):
        pass
    (data_dir / "conf" / "valkey.local.conf").write_text("no-such-setting 1\n")
    with pytest.raises(ServerNotReady, match="Valkey ended at start") as refusal:
        Embedded(data_dir).start()
    assert "no-such-setting" in str(refusal.value)
    assert servers_on(data_dir) == []


@pytest.fixture
def small_disk(data_dir: Path) -> Iterator[Path]:
    place = data_dir / "small"
    place.mkdir(mode=0o755)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m,mode=0755", "tmpfs", str(place)], check=True
    )
    yield place
    subprocess.run(["umount", str(place)], check=True)


@as_root
def test_a_full_disk_is_named_and_leaves_nothing_half_made(small_disk: Path) -> None:
    with pytest.raises(DiskFull, match="MiB free"):
        Embedded(small_disk / "data").start()
    assert not (small_disk / "data" / "postgres").exists()
    assert not list((small_disk / "data").glob("postgres.new.*"))


@pytest.fixture
def modeless_disk(data_dir: Path) -> Iterator[Path]:
    if not Path("/dev/fuse").exists():
        pytest.skip("the kernel has no FUSE")
    place = data_dir / "windows"
    place.mkdir(mode=0o755)
    program = Path(__file__).with_name("modeless_disk.py")
    disk = subprocess.Popen([sys.executable, str(program), str(place)], stdout=subprocess.PIPE)
    assert disk.stdout is not None
    mounted = disk.stdout.readline()
    if mounted:
        yield place
        subprocess.run(["umount", "-l", str(place)], check=True)
    disk.wait(10)
    disk.stdout.close()
    if not mounted:
        pytest.skip("FUSE may not be mounted here")


@as_root
def test_a_file_system_without_modes_is_refused_before_postgres_does(modeless_disk: Path) -> None:
    with pytest.raises(ModelessFilesystem, match="Windows drive under WSL"):
        Embedded(modeless_disk / "data").start()
