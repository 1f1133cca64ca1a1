"""The box on one data directory, in this process."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, pool, text

from payspool.embedded import AlreadyRunning, Embedded, read_running
from payspool.embedded.guard import is_same, start_mark


def ask(url: str, statement: str) -> object:
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        return connection.execute(text(statement)).scalar()


def eventually(true: object, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


@pytest.fixture
def box(data_dir: Path) -> Iterator[Embedded]:
    with Embedded(data_dir) as running:
        yield running


def test_both_servers_answer_within_two_seconds_and_keep_their_data(data_dir: Path) -> None:
    began = time.monotonic()
    with Embedded(data_dir) as box:
        cold = time.monotonic() - began
        ask(box.endpoints.owner_url, "SELECT 1")
        with redis.Redis.from_url(box.endpoints.redis_url) as client:
            client.set("kept", "yes")
        engine = create_engine(box.endpoints.owner_url, poolclass=pool.NullPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept AS SELECT 42 AS n"))
    began = time.monotonic()
    with Embedded(data_dir) as box:
        warm = time.monotonic() - began
        assert ask(box.endpoints.owner_url, "SELECT n FROM kept") == 42
        with redis.Redis.from_url(box.endpoints.redis_url) as client:
            assert client.get("kept") == b"yes"
    assert cold < 5, "on an idle machine 0.6 s"
    assert warm < 2, "on an idle machine 0.2 s"


def test_after_the_end_nothing_runs_and_the_sockets_are_gone(data_dir: Path) -> None:
    with Embedded(data_dir) as box:
        run_dir = box.endpoints.run_dir
        pids = [box.pid_of("postgres"), box.pid_of("valkey"), box.guard.pid]
        marks = {pid: start_mark(pid) for pid in pids if pid}
        assert len(marks) == 3
        assert read_running(data_dir) == box.endpoints
    assert not any(is_same(pid, mark) for pid, mark in marks.items() if mark)
    assert not run_dir.exists()
    assert read_running(data_dir) is None


def test_a_start_after_a_stop_of_the_same_object_works(data_dir: Path) -> None:
    box = Embedded(data_dir)
    box.start()
    box.stop()
    box.stop()
    box.start()
    assert ask(box.endpoints.runtime_url, "SELECT current_user") == "payspool_runtime"
    box.stop()


def test_settings_that_money_depends_on_are_on(box: Embedded) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "timezone": "UTC",
        "server_encoding": "UTF8",
        "dynamic_shared_memory_type": "mmap",
        "max_locks_per_transaction": "256",
    }
    shown = {name: ask(box.endpoints.runtime_url, f"SHOW {name}") for name in expected}
    assert shown == expected
    provider = (
        "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'payspool'"
    )
    assert ask(box.endpoints.runtime_url, provider) == "bC.UTF-8"
    with redis.Redis.from_url(box.endpoints.redis_url) as client:
        config = client.config_get("append*", "maxmemory", "maxmemory-policy", "save", "port")
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "always"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["maxmemory"] == str(2**30)
    assert config["save"] == ""
    assert config["port"] == "0"


def test_the_runtime_role_may_connect_and_nothing_else(box: Embedded) -> None:
    url = box.endpoints.runtime_url
    attributes = "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication FROM pg_roles "
    for role in ("payspool_runtime", "payspool_owner"):
        assert ask(url, attributes + f"WHERE rolname = '{role}'") is False
    dsn = url.replace("+psycopg", "")
    for refused in (
        "CREATE TABLE public.t (n int)",
        "CREATE SCHEMA s",
        "CREATE TEMP TABLE t (n int)",
    ):
        with (
            psycopg.connect(dsn) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(refused)
    assert ask(url, "SELECT has_schema_privilege('public', 'USAGE')") is False
    assert ask(box.endpoints.owner_url, "SELECT has_schema_privilege('public', 'CREATE')") is True


def test_nothing_listens_on_tcp_and_only_we_can_enter_the_socket_folder(box: Embedded) -> None:
    assert ask(box.endpoints.admin_url, "SHOW listen_addresses") == ""
    status = box.endpoints.run_dir.stat()
    assert stat.S_IMODE(status.st_mode) == 0o700
    for folder in ("postgres", "valkey", "logs"):
        mode = stat.S_IMODE((box.endpoints.data_dir / folder).stat().st_mode)
        assert mode & 0o077 == 0, folder
    for file in ("servers.json", "processes.json"):
        assert stat.S_IMODE((box.endpoints.data_dir / file).stat().st_mode) == 0o600


def test_a_tcp_port_is_the_next_free_one_and_wants_a_password(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wish = taken.getsockname()[1]
        with Embedded(data_dir, postgres_tcp=wish, valkey_tcp=wish) as box:
            ends = box.endpoints
            assert ends.runtime_tcp_url is not None
            assert ends.redis_tcp_url is not None
            assert f":{wish}/" not in ends.runtime_tcp_url
            assert ask(ends.runtime_tcp_url, "SELECT current_user") == "payspool_runtime"
            assert ask(ends.runtime_url, "SELECT 1") == 1
            dsn = ends.runtime_tcp_url.replace("+psycopg", "")
            with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
                psycopg.connect(dsn, user="postgres")
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(dsn, password="wrong")
            with redis.Redis.from_url(ends.redis_tcp_url) as client:
                assert client.ping()
            with redis.Redis.from_url(ends.redis_url) as client:
                assert client.ping()
            port = int(ends.redis_tcp_url.rpartition(":")[2].partition("/")[0])
            impatient = redis.Redis(port=port, retry=Retry(NoBackoff(), 0))
            with impatient as client, pytest.raises(redis.AuthenticationError):
                client.ping()


def test_a_second_start_says_since_when_and_where_the_first_runs(
    box: Embedded, data_dir: Path
) -> None:
    box.announce("http://127.0.0.1:8080")
    began = time.monotonic()
    with pytest.raises(AlreadyRunning) as refusal:
        Embedded(data_dir).start()
    assert time.monotonic() - began < 1
    assert "already running since 20" in str(refusal.value)
    assert "UTC, at http://127.0.0.1:8080" in str(refusal.value)
    assert refusal.value.pid == os.getpid()
    assert ask(box.endpoints.runtime_url, "SELECT 1") == 1, "the first is not disturbed"
    assert read_running(data_dir) == box.endpoints


@pytest.mark.parametrize("server", ["valkey", "postgres"])
def test_a_killed_server_comes_back_at_the_same_address_with_its_data(
    box: Embedded, server: str
) -> None:
    with redis.Redis.from_url(box.endpoints.redis_url) as client:
        client.set("acknowledged", "yes")
    killed = box.pid_of(server)  # type: ignore[arg-type]
    assert killed
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: box.starts_of(server) == 2)  # type: ignore[arg-type]
    assert box.pid_of(server) not in (None, killed)  # type: ignore[arg-type]
    assert ask(box.endpoints.runtime_url, "SELECT 1") == 1
    with redis.Redis.from_url(box.endpoints.redis_url) as client:
        assert client.get("acknowledged") == b"yes"


def test_a_killed_postgres_comes_back_though_its_socket_lock_names_a_stranger(
    data_dir: Path,
) -> None:
    with Embedded(data_dir, keep_alive=False) as box:
        killed = box.pid_of("postgres")
        assert killed
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: box.pid_of("postgres") is None)
        time.sleep(0.6)
        assert box.starts_of("postgres") == 1, "nobody starts it again unasked"
        lock = box.endpoints.run_dir / ".s.PGSQL.5432.lock"
        switch = {"user": lock.stat().st_uid} if os.geteuid() == 0 else {}
        stranger = subprocess.Popen(["sleep", "60"], **switch)
        try:
            lines = lock.read_text().splitlines()
            lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            box.start_server("postgres")
            assert ask(box.endpoints.runtime_url, "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()


def test_a_killed_guard_is_replaced(box: Embedded) -> None:
    killed = box.guard.pid
    assert killed
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: box.guard.replacements == 1 and box.guard.pid != killed)


def test_what_a_killed_initdb_left_is_thrown_away(data_dir: Path) -> None:
    (data_dir / "instance.lock").touch()
    (data_dir / "postgres.new").mkdir()
    (data_dir / "postgres.new" / "PG_VERSION").write_text("18\n")
    with Embedded(data_dir, durable=False) as box:
        assert ask(box.endpoints.runtime_url, "SELECT 1") == 1


def test_a_server_stopped_on_purpose_stays_down_until_it_is_started(box: Embedded) -> None:
    box.stop_server("valkey")
    time.sleep(0.6)
    assert box.pid_of("valkey") is None
    box.start_server("valkey")
    with redis.Redis.from_url(box.endpoints.redis_url) as client:
        assert client.ping()


def test_a_half_written_last_command_does_not_keep_valkey_from_starting(data_dir: Path) -> None:
    with (
        Embedded(data_dir) as box,
        redis.Redis.from_url(box.endpoints.redis_url) as client,
    ):
        client.set("acknowledged", "yes")
    [tail] = data_dir.glob("valkey/appendonlydir/*.incr.aof")
    with tail.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nha")
    with (
        Embedded(data_dir) as box,
        redis.Redis.from_url(box.endpoints.redis_url) as client,
    ):
        assert client.get("acknowledged") == b"yes"
        client.set("more", "yes")


def test_a_second_valkey_on_the_same_files_is_impossible_even_without_any_record(
    box: Embedded, data_dir: Path
) -> None:
    # The kernel's word, not a list's: the running server itself holds the lock.
    script = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1])\n"
        "try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: sys.exit(7)"
    )
    for server in ("valkey", "postgres"):
        lock = data_dir / f"{server}.lock"
        assert (
            subprocess.run([sys.executable, "-c", script, str(lock)], check=False).returncode == 7
        )


def test_own_settings_beside_the_written_ones_win(data_dir: Path) -> None:
    with Embedded(data_dir):
        pass
    (data_dir / "conf" / "postgresql.local.conf").write_text("work_mem = 5MB\n")
    (data_dir / "conf" / "valkey.local.conf").write_text("maxclients 123\n")
    with Embedded(data_dir, durable=False, valkey_maxmemory=2**26) as box:
        assert ask(box.endpoints.runtime_url, "SHOW work_mem") == "5MB"
        assert ask(box.endpoints.runtime_url, "SHOW fsync") == "off"
        with redis.Redis.from_url(box.endpoints.redis_url) as client:
            assert client.config_get("maxclients")["maxclients"] == "123"
            assert client.config_get("maxmemory")["maxmemory"] == str(2**26)
            assert client.config_get("appendfsync")["appendfsync"] == "everysec"
