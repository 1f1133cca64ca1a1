"""Where the box can run: paths, locales, users, and many at once."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from payspool.embedded import default_data_dir
from payspool.embedded.binaries import installed_binaries

RunBox = Callable[..., Any]
ServersOn = Callable[[Path], list[str]]
AnotherUser = Callable[..., dict[str, Any]]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

BOTH = ["postgres", "valkey-server"]


def works(endpoints: dict[str, str]) -> bool:
    with psycopg.connect(endpoints["runtime_url"].replace("+psycopg", "")) as connection:
        return connection.execute("SELECT lower('ÄÖÜ') = 'äöü'").fetchone() == (True,)


def test_it_runs_from_a_path_with_spaces_quotes_and_200_characters(
    run_box: RunBox, data_dir: Path
) -> None:
    odd = data_dir / "with space, 'quotes' \"both\" and é" / ("long" * 40) / "up"
    assert len(str(odd)) > 200
    box = run_box(data_dir=odd).wait()
    assert works(box.endpoints)
    assert box.stop() == 0
    again = run_box(data_dir=odd).wait()
    assert works(again.endpoints)


def test_it_runs_from_a_temporary_directory_with_odd_characters(
    run_box: RunBox, data_dir: Path
) -> None:
    odd = data_dir / "t' \"%20 é"
    odd.mkdir(mode=0o755)
    box = run_box(data_dir=data_dir / "data", how={"env": {"TMPDIR": str(odd)}}).wait()
    assert Path(box.endpoints["run_dir"]).parent == odd
    assert works(box.endpoints)


@pytest.mark.parametrize("name", ["t" * 100, "a,comma", "missing"])
def test_a_temporary_directory_that_cannot_hold_sockets_is_passed_over(
    run_box: RunBox, data_dir: Path, name: str
) -> None:
    odd = data_dir / name
    if name != "missing":
        odd.mkdir(mode=0o755)
    box = run_box(data_dir=data_dir / "data", how={"env": {"TMPDIR": str(odd)}}).wait()
    assert Path(box.endpoints["run_dir"]).parent == Path("/tmp")
    assert works(box.endpoints)


def test_a_missing_locale_and_settings_of_another_postgres_do_not_matter(
    run_box: RunBox, data_dir: Path
) -> None:
    env = {
        "LC_ALL": "xx_YY.UTF-8",
        "LANG": "xx_YY.UTF-8",
        "PGDATA": "/nowhere",
        "PGPORT": "1",
        "PGHOST": "nowhere.invalid",
        "PGHOSTADDR": "192.0.2.1",
        "PGUSER": "somebody",
        "PGDATABASE": "something",
    }
    box = run_box(data_dir=data_dir, how={"env": env}).wait()
    assert "error" not in box.answer
    assert works(box.endpoints)


def test_two_checkouts_run_side_by_side_with_data_of_their_own(
    run_box: RunBox, data_dir: Path
) -> None:
    one, two = (run_box(data_dir=data_dir / name) for name in ("one", "two"))
    one.wait()
    two.wait()
    assert one.endpoints["run_dir"] != two.endpoints["run_dir"]
    assert works(one.endpoints)
    assert works(two.endpoints)
    assert one.stop() == 0
    assert works(two.endpoints)


def test_a_data_directory_is_named_after_the_checkout_and_differs_by_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here, there = tmp_path / "a" / "my shop!", tmp_path / "b" / "my shop!"
    assert default_data_dir(here).name.startswith("my-shop-")
    assert default_data_dir(here) == default_data_dir(here)
    assert default_data_dir(here) != default_data_dir(there)
    if os.geteuid() == 0:
        assert default_data_dir(here).parent == Path("/var/lib/payspool/data")
    elif sys.platform == "linux":
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "x"))
        assert default_data_dir(here).parent == tmp_path / "x" / "payspool"
        monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_data_dir(here).parent == tmp_path / ".local/share/payspool"


@as_root
def test_root_and_another_user_can_start_the_same_checkout_in_turn(
    run_box: RunBox, another_user: AnotherUser, tmp_path: Path
) -> None:
    daemon = another_user("daemon")
    places = set()
    try:
        for how in ({}, daemon, {}, daemon):
            box = run_box(checkout=tmp_path, how=dict(how), more={"durable": False}).wait()
            assert "error" not in box.answer
            assert works(box.endpoints)
            places.add(box.endpoints["data_dir"])
            assert box.stop() == 0
    finally:
        shutil.rmtree(default_data_dir(tmp_path), ignore_errors=True)
    home = Path(daemon["env"]["HOME"]) / ".local/share/payspool"
    assert places == {str(default_data_dir(tmp_path)), str(home / default_data_dir(tmp_path).name)}


@as_root
def test_as_root_the_servers_are_nobody_without_groups_and_no_foreign_folder_changes(
    run_box: RunBox, data_dir: Path
) -> None:
    watched = [Path("/"), Path("/var/lib"), Path("/tmp"), Path(sys.prefix), data_dir]
    watched += installed_binaries().postgres.parents[:4]
    users = Path("/etc/passwd").read_text()
    before = [path.stat() for path in watched]
    box = run_box(data_dir=data_dir, how={"extra_groups": [0, 4]}).wait()
    nobody = pwd.getpwnam("nobody")
    for name in ("postgres", "valkey"):
        process = psutil.Process(box.pids[name])
        assert set(process.uids()) == {nobody.pw_uid}
        assert set(process.gids()) == {nobody.pw_gid}
        groups = Path(f"/proc/{process.pid}/status").read_text().split("Groups:")[1]
        assert groups.splitlines()[0].strip() == ""
        assert process.exe().startswith("/var/lib/payspool/bin/")
    after = [path.stat() for path in watched]
    assert [(s.st_mode, s.st_uid, s.st_gid) for s in before] == [
        (s.st_mode, s.st_uid, s.st_gid) for s in after
    ]
    assert Path("/etc/passwd").read_text() == users
    # What root itself writes lies where nobody cannot write: a link there could misdirect it.
    for name in (".", "conf", "logs"):
        status = (data_dir / name).stat()
        assert status.st_uid == 0
        assert not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


COPY = """
import sys
from pathlib import Path
from payspool.embedded.binaries import copy_binaries, installed_binaries
print(copy_binaries(installed_binaries(), Path(sys.argv[1])).postgres)
"""


def test_eight_copies_of_the_binaries_at_once_make_one_that_works(data_dir: Path) -> None:
    shelf = data_dir / "bin"
    shelf.mkdir()
    (shelf / ".new-killed").mkdir()
    command = [sys.executable, "-c", COPY, str(shelf)]
    starts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    paths = {one.communicate(timeout=60)[0].strip() for one in starts}
    assert [one.returncode for one in starts] == [0] * 8
    [postgres] = paths
    assert subprocess.run([postgres, "--version"], check=True, capture_output=True).stdout
    initdb = Path(postgres).with_name("initdb")
    assert subprocess.run([initdb, "--version"], check=True, capture_output=True).stdout
    assert len(list(shelf.iterdir())) == 2, "the copy and the lock, nothing unfinished"


def test_eight_at_once_on_different_data_all_run(run_box: RunBox, data_dir: Path) -> None:
    boxes = [run_box(data_dir=data_dir / str(n), more={"durable": False}) for n in range(8)]
    assert all(works(box.wait().endpoints) for box in boxes)
    assert [box.stop() for box in boxes] == [0] * 8


def test_eight_at_once_on_the_same_data_one_runs_and_seven_say_so(
    run_box: RunBox, data_dir: Path, servers_on: ServersOn
) -> None:
    boxes = [run_box(data_dir=data_dir) for _ in range(8)]
    answers = [box.wait().answer for box in boxes]
    assert sum("pids" in answer for answer in answers) == 1
    refused = [answer for answer in answers if "error" in answer]
    assert [answer["error"] for answer in refused] == ["AlreadyRunning"] * 7
    assert all("already running since" in answer["message"] for answer in refused)
    assert servers_on(data_dir) == BOTH
    [winner] = [box for box in boxes if "pids" in box.answer]
    assert works(winner.endpoints)
