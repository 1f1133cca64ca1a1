"""PostgreSQL: initdb, configuration, roles, and how to tell that it serves."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import LiteralString
from urllib.parse import quote

import psycopg
from psycopg import sql

from payspool.embedded.account import require_name
from payspool.embedded.errors import DiskFull, ForeignPostgres, InitFailed, OtherPostgresMajor
from payspool.embedded.folders import free_bytes, make_server_folder
from payspool.embedded.guard import empty_folder, start_mark
from payspool.embedded.guarding import Rank
from payspool.embedded.leftovers import working_directory
from payspool.embedded.server import Server

ASIDE = "postgres.new"  # where a database is made, before it is renamed into its place

logger = logging.getLogger(__name__)

DATABASE = "payspool"
OWNER = "payspool_owner"
RUNTIME = "payspool_runtime"
ADMIN = "postgres"
SOCKET_PORT = 5432  # only a part of the socket's name
INIT_S = 120.0
CONNECT_TIMEOUT_S = 2
MAX_CONNECTIONS = 200

# `dynamic_shared_memory_type = mmap`: containers give 64 MB of /dev/shm. `io_method = sync`: three
# processes less to idle beside; it concerns reads that miss the cache. Settings are a file, not
# arguments, so that `ALTER SYSTEM` and the local file can win over them.
CONF = """\
# Written at every start of Payspool; your own settings go into postgresql.local.conf beside this file.
listen_addresses = {listen}
port = {port}
unix_socket_directories = {sockets}
unix_socket_permissions = 0700
hba_file = {hba}
ident_file = {ident}
max_connections = {max_connections}
max_locks_per_transaction = 256
shared_buffers = 256MB
huge_pages = off
dynamic_shared_memory_type = mmap
io_method = sync
work_mem = 16MB
maintenance_work_mem = 128MB
effective_cache_size = 1GB
random_page_cost = 1.1
jit = off
min_wal_size = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
fsync = {fsync}
synchronous_commit = {fsync}
full_page_writes = {fsync}
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
log_checkpoints = off
log_lock_waits = on
log_parameter_max_length_on_error = 0
cluster_name = 'payspool'
include = {local}
"""

# The superuser has no line for TCP: it exists only behind the private folder of the socket.
HBA = f"""\
local all all trust
host {DATABASE} {OWNER},{RUNTIME} 127.0.0.1/32 scram-sha-256
"""


class Postgres(Server):
    """The PostgreSQL in the box."""

    name = "postgres"
    title = "PostgreSQL"
    rank = Rank.POSTGRES
    # "Fast" shutdown, then "immediate" (recovers at the next start); SIGTERM would wait for clients.
    stop_steps = ((signal.SIGINT, 8.0), (signal.SIGQUIT, 3.0))

    def url(self, role: str) -> str:
        """For SQLAlchemy, over the socket."""
        where = f"host={quote(str(self.run_dir), safe='')}"
        if self.port is not None:
            where += f"&port={self.port}"
        database = ADMIN if role == ADMIN else DATABASE
        return f"postgresql+psycopg://{role}@/{database}?{where}"

    def tcp_url(self, role: str) -> str | None:
        """For SQLAlchemy, over TCP, if a port was asked for."""
        if self.port is None:
            return None
        return f"postgresql+psycopg://{role}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        for left in self.data.parent.glob(f"{ASIDE}.*"):  # of starts that were killed
            shutil.rmtree(left, ignore_errors=True)
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        make_server_folder(self.data, self.account)
        found = int((self.data / "PG_VERSION").read_text().split(".")[0])
        if found != self.binaries.postgres_major:
            raise OtherPostgresMajor(self.data, found, self.binaries.postgres_major)
        self._write_conf()
        self._disarm_stale_pid_file()
        # A killed server leaves its socket's lock file, whose number may be somebody else's by now.
        empty_folder(str(self.run_dir), ".s.PGSQL.")

    def command(self) -> list[str | Path]:
        conf = self.places.conf / "postgresql.conf"
        return [self.binaries.postgres, "-D", self.data, "-c", f"config_file={conf}"]

    def answers(self) -> bool:
        if self._pid_file_status() != "ready":
            return False
        try:
            with self._connect(ADMIN):
                return True
        except psycopg.Error:
            return False

    def is_recovering(self) -> bool:
        return self._pid_file_status() == "starting"

    def create_roles(self) -> None:
        """Create database and roles, or what is missing of them after a crash in between.

        The runtime role may CONNECT and nothing else; the migrations grant it the rest.

        Raises DiskFull, and ServerNotReady if PostgreSQL refuses.
        """
        try:
            self._create_roles()
        except psycopg.errors.DiskFull as error:
            raise DiskFull(self.places.data_dir, free_bytes(self.places.data_dir)) from error
        except psycopg.Error as error:
            raise self.not_ready(f"cannot make its database ({error})") from error

    def _create_roles(self) -> None:
        with self._connect(ADMIN) as connection:
            for role in (OWNER, RUNTIME):
                if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
                    connection.execute(_named("CREATE ROLE {} LOGIN", role))
                if self.password:
                    connection.execute(
                        sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                            sql.Identifier(role), sql.Literal(self.password)
                        )
                    )
            if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
                connection.execute(_named("CREATE DATABASE {} OWNER {}", DATABASE, OWNER))
            connection.execute(_named("REVOKE ALL ON DATABASE {} FROM PUBLIC", DATABASE))
            connection.execute(_named("GRANT CONNECT ON DATABASE {} TO {}", DATABASE, RUNTIME))
        with self._connect(DATABASE) as connection:
            connection.execute(_named("ALTER SCHEMA public OWNER TO {}", OWNER))
            connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.run_dir),
            hostaddr="",
            port=self.port or SOCKET_PORT,
            user=ADMIN,
            dbname=database,
            connect_timeout=CONNECT_TIMEOUT_S,
            autocommit=True,
        )

    def _initdb(self) -> None:
        """Make the database aside and rename it: a killed initdb leaves nothing half made in place.

        The folder's name is new each time: an initdb whose supervisor and guard were both killed before
        it was recorded may still be writing into its own.
        """
        require_name(self.account)
        aside = self.data.with_name(f"{ASIDE}.{secrets.token_hex(4)}")
        place, self.data = self.data, aside
        try:
            make_server_folder(aside, self.account)
            self._run_initdb(aside)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        finally:
            self.data = place
        if place.exists():
            place.rmdir()  # only an empty one: what has no PG_VERSION but files is not ours to delete
        aside.rename(place)

    def _run_initdb(self, folder: Path) -> None:
        command: list[str | Path] = [
            self.binaries.initdb,
            *("-D", folder, "-U", ADMIN, "-E", "UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--auth-local=trust", "--auth-host=reject", "--no-instructions"),
            *("-c", "dynamic_shared_memory_type=mmap"),
            *(() if self.durable else ("--no-sync",)),
        ]
        process = self.spawn(command, log=None)
        self.watch("initdb", process)
        try:
            output = process.communicate(timeout=INIT_S)[0].decode(errors="replace")
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(
                    process.pid, signal.SIGKILL
                )  # not reaped yet: the number is still its own
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise InitFailed(folder.parent, f"(nothing within {INIT_S:.0f} s)") from error
            raise
        finally:
            self.guard.forget(process.pid)
        if process.returncode == 0:
            return
        if "No space left on device" in output or "Disk quota exceeded" in output:
            raise DiskFull(folder.parent, free_bytes(folder.parent))
        raise InitFailed(folder.parent, output.strip())

    def _write_conf(self) -> None:
        conf = self.places.conf
        text = CONF.format(
            listen=_quoted("127.0.0.1" if self.port else ""),
            port=self.port or SOCKET_PORT,
            sockets=_quoted('"' + str(self.run_dir).replace('"', '""') + '"'),
            hba=_quoted(conf / "pg_hba.conf"),
            ident=_quoted(conf / "pg_ident.conf"),
            local=_quoted(conf / "postgresql.local.conf"),
            fsync="on" if self.durable else "off",
            max_connections=MAX_CONNECTIONS,
        )
        files = {"postgresql.conf": text, "pg_hba.conf": HBA, "pg_ident.conf": ""}
        for name, content in files.items():
            (conf / name).write_text(content)
            self.account.share_for_reading(conf / name, 0o600)
        local = conf / "postgresql.local.conf"
        if not local.exists():
            local.write_text("# Settings here win over those in postgresql.conf.\n")
        self.account.share_for_reading(local, 0o600)

    def _pid_file(self) -> list[str]:
        """The lines of postmaster.pid (pidfile.h): pid, data folder, start, port, sockets, …, status."""
        # The folder is the servers' user's: as root, never read what a link may point to.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.data / "postmaster.pid", flags)
        except OSError:
            return []
        with os.fdopen(descriptor, errors="replace") as file:
            return file.read().splitlines()

    def _pid_file_status(self) -> str:
        lines = self._pid_file()
        ours = self._process is not None and lines[:1] == [str(self._process.pid)]
        return lines[7].strip() if ours and len(lines) > 7 else ""

    def _disarm_stale_pid_file(self) -> None:
        """Free the way when postmaster.pid names a number that now belongs to somebody else.

        PostgreSQL refuses to start while any process has the number in its file. We hold the lock
        that every server of this folder inherits, so none of ours runs; a PostgreSQL started by
        hand is recognised by its working directory. Otherwise the file is stale, whoever has the
        number now, and that process is none of our business. The number is replaced by ours, which
        PostgreSQL, our child, takes for stale; the rest stays, so that it still checks for itself
        whether the old shared memory is in use.
        """
        lines = self._pid_file()
        if not lines:
            return
        pid = int(lines[0]) if lines[0].strip().lstrip("-").isdigit() else 0
        pid = abs(pid)
        if pid > 1 and start_mark(pid) is not None and pid != os.getpid():
            if working_directory(pid) == self.data.resolve():
                raise ForeignPostgres(pid, self.data)
            logger.warning("postmaster.pid names process %s, which is not ours; it is stale", pid)
        lines[0] = str(os.getpid())
        self._replace_pid_file("\n".join(lines) + "\n")

    def _replace_pid_file(self, text: str) -> None:
        # The folder is the servers' user's: as root, never write through a name that may be a link.
        aside = self.data / "postmaster.pid.new"
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if self.account.switched:
                os.fchown(file.fileno(), self.account.uid, self.account.gid)
        aside.replace(self.data / "postmaster.pid")


def _exists(
    connection: psycopg.Connection[tuple[object, ...]], query: LiteralString, name: str
) -> bool:
    return connection.execute(query, (name,)).fetchone() is not None


def _named(statement: LiteralString, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*(sql.Identifier(name) for name in names))


def _quoted(value: str | Path) -> str:
    return "'" + str(value).replace("'", "''") + "'"
