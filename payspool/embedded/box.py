"""The embedded servers as one thing to start and stop."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from payspool.embedded import instance as instances
from payspool.embedded.account import Account, server_account
from payspool.embedded.binaries import Binaries, binaries_for
from payspool.embedded.errors import EmbeddedError
from payspool.embedded.folders import (
    ROOT_HOME,
    RUN_PREFIX,
    Places,
    make_parents,
    make_run_dir,
    prepare_data_dir,
    storage_error,
)
from payspool.embedded.guard import sweep_folder
from payspool.embedded.guarding import Guard, write_private
from payspool.embedded.instance import Endpoints, Instance
from payspool.embedded.leftovers import stop_leftovers
from payspool.embedded.postgres import ADMIN, OWNER, RUNTIME, Postgres
from payspool.embedded.server import RESTART_FIRST_S, Server, Setup, next_free_port
from payspool.embedded.valkey import Valkey

logger = logging.getLogger(__name__)

GIB = 2**30
WATCH_S = 0.25  # how often guard and servers are looked at: a few system calls each time
TRIM_S = 10.0  # how often the logs' sizes are looked at
RESTART_MAX_S = 10.0
HEALTHY_S = 30.0  # a server that has run this long starts its restart delays afresh

ServerName = Literal["postgres", "valkey"]


class Embedded:
    """PostgreSQL and Valkey from the box, on one data directory.

    A context manager; `start()` gives the Endpoints. While it runs, a server that dies is
    started again at the same addresses, and a guard process stops everything if this process
    dies. Servers of a process that was killed together with its guard are stopped by the next
    start on the same data directory.

    `valkey_maxmemory` is in bytes. `durable=False` turns every fsync off, for test suites that
    do not test durability. `postgres_tcp` and `valkey_tcp` ask for a TCP port on 127.0.0.1: that
    one or the next free one; the logins over TCP have a password. `temp_dir` replaces the
    temporary directory for the sockets. `keep_alive=False` leaves a dead server dead.

        with Embedded(default_data_dir(Path.cwd())) as box:
            engine = create_engine(box.endpoints.runtime_url)
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        valkey_maxmemory: int = GIB,
        durable: bool = True,
        postgres_tcp: int | None = None,
        valkey_tcp: int | None = None,
        temp_dir: Path | None = None,
        keep_alive: bool = True,
    ) -> None:
        self._data_dir = data_dir
        self._maxmemory = valkey_maxmemory
        self._durable = durable
        self._ports = {"postgres": postgres_tcp, "valkey": valkey_tcp}
        self._temp_dir = temp_dir
        self._keep_alive = keep_alive
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._held: int | None = None
        self._places: Places | None = None
        self._guard: Guard | None = None
        self._run_dir: Path | None = None
        self._servers: dict[str, Server] = {}
        self._wanted: set[str] = set()
        self._instance: Instance | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoints(self) -> Endpoints:
        """How to reach the servers; only after `start`."""
        assert self._instance is not None, "start() comes first"
        assert self._instance.endpoints is not None, "start() comes first"
        return self._instance.endpoints

    @property
    def guard(self) -> Guard:
        """The guard, to be told of the processes that work with these servers; only after `start`."""
        assert self._guard is not None, "start() comes first"
        return self._guard

    def start(self) -> Endpoints:
        """Start both servers and wait until they answer.

        Raises AlreadyRunning if a live Payspool holds the data directory, and otherwise a
        subclass of EmbeddedError whose message says what to do.
        """
        with self._lock:
            if self._instance is not None and self._instance.endpoints is not None:
                return self._instance.endpoints
            try:
                return self._start()
            except OSError as error:
                self._stop_all(None)
                raise storage_error(self._data_dir, error) from error
            except BaseException:
                self._stop_all(None)
                raise

    def stop(self, hurry: threading.Event | None = None) -> None:
        """Stop Valkey, then PostgreSQL, then the guard. Bounded (some 20 s at the very worst).

        `hurry` may be set meanwhile by another thread or a signal handler: every wait is then cut
        to a second. Harmless when nothing runs.
        """
        self._stopping.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
        with self._lock:
            self._watcher = None
            self._stop_all(hurry)

    def announce(self, address: str) -> None:
        """Record the address that a second start is told, such as the dashboard's."""
        with self._lock:
            assert self._instance is not None, "start() comes first"
            self._note(address=address)

    def pid_of(self, server: ServerName) -> int | None:
        """The process id of a server, or None while it does not run."""
        return self._servers[server].pid

    def starts_of(self, server: ServerName) -> int:
        """How often a server has been started since `start`; more than once: it died and came back."""
        return self._servers[server].starts

    def stop_server(self, server: ServerName) -> None:
        """Stop one server and leave it stopped, as if it had been shut down by an administrator."""
        with self._lock:
            self._wanted.discard(server)
            self._servers[server].stop()

    def start_server(self, server: ServerName) -> None:
        """Start a server that `stop_server` stopped, at its old address."""
        with self._lock:
            if not self._servers[server].is_alive():
                self._servers[server].has_died()
                self._servers[server].start()
            self._wanted.add(server)

    def _start(self) -> Endpoints:
        account = server_account()
        binaries = installed_or_copied(account)
        self._places = places = prepare_data_dir(self._data_dir, account)
        self._held = held = instances.claim(places)
        last = instances.read_instance(places)
        self._instance = instances.this_process()
        instances.write_instance(places, self._instance)
        stop_leftovers(places)
        _sweep_last(last)
        self._stopping.clear()
        self._guard = guard = Guard(places.processes, places.logs / "guard.log", inherit=(held,))
        guard.start()
        self._run_dir = run_dir = make_run_dir(account, self._temp_dir)
        guard.sweep(run_dir)
        self._note(run_dir=run_dir)
        with_tcp = any(port is not None for port in self._ports.values())
        password = _password(places) if with_tcp else None
        setup = Setup(
            places, binaries, account, guard, run_dir, self._durable, password, self._stopping
        )
        self._start_servers(setup)
        self._note(endpoints=self._endpoints(places, run_dir))
        self._watcher = threading.Thread(target=self._watch, name="payspool-embedded", daemon=True)
        self._watcher.start()
        return self.endpoints

    def _start_servers(self, setup: Setup) -> None:
        ports = {name: wish and next_free_port(wish) for name, wish in self._ports.items()}
        self._postgres = Postgres(setup, ports["postgres"])
        self._valkey = Valkey(setup, ports["valkey"], self._maxmemory)
        self._servers = {"valkey": self._valkey, "postgres": self._postgres}  # in order of stopping
        self._postgres.start()
        self._postgres.create_roles()
        self._valkey.start()
        self._wanted = set(self._servers)

    def _endpoints(self, places: Places, run_dir: Path) -> Endpoints:
        return Endpoints(
            owner_url=self._postgres.url(OWNER),
            runtime_url=self._postgres.url(RUNTIME),
            admin_url=self._postgres.url(ADMIN),
            redis_url=self._valkey.url(),
            data_dir=places.data_dir,
            run_dir=run_dir,
            runtime_tcp_url=self._postgres.tcp_url(RUNTIME),
            owner_tcp_url=self._postgres.tcp_url(OWNER),
            redis_tcp_url=self._valkey.tcp_url(),
        )

    def _note(self, **changes: Any) -> None:
        assert self._places is not None
        assert self._instance is not None
        self._instance = replace(self._instance, **changes)
        instances.write_instance(self._places, self._instance)

    def _stop_all(self, hurry: threading.Event | None) -> None:
        """Whatever of a start has happened is undone, in the order of stopping."""
        self._wanted.clear()
        for server in self._servers.values():
            server.stop(hurry)
        if self._guard is not None:
            self._guard.close()
        if self._run_dir is not None:
            sweep_folder(str(self._run_dir))
        if self._held is not None:
            assert self._places is not None, "the lock lies in the data directory"
            instances.withdraw(self._places)
            os.close(self._held)
        self._held = self._guard = self._run_dir = self._instance = None
        self._servers = {}

    def _watch(self) -> None:
        """Keep guard and servers alive and the logs short, until `stop`."""
        trimmed = time.monotonic()
        while not self._stopping.wait(WATCH_S):
            with self._lock:
                if self._guard is not None:
                    self._guard.check()
                for name, server in self._servers.items():
                    self._revive(name, server)
            if time.monotonic() - trimmed > TRIM_S:
                trimmed = time.monotonic()
                self._trim_logs()

    def _revive(self, name: str, server: Server) -> None:
        if not self._keep_alive or name not in self._wanted or self._stopping.is_set():
            return
        now = time.monotonic()
        if server.is_alive():
            if now - server.started_at > HEALTHY_S:
                server.restart_delay_s = RESTART_FIRST_S
            return
        if server.has_died():
            server.restart_at = now + server.restart_delay_s
        if now < server.restart_at:
            return
        delay = server.restart_delay_s
        server.restart_delay_s = min(delay * 2, RESTART_MAX_S)
        server.restart_at = now + server.restart_delay_s
        try:
            server.start()
        except (EmbeddedError, OSError):
            logger.exception("%s cannot be started again; trying on", server.title)
        else:
            logger.warning("%s runs again as process %s", server.title, server.pid)

    def _trim_logs(self) -> None:
        for server in tuple(self._servers.values()):
            try:
                server.log.trim()
            except OSError:  # a full disk must not end the watch
                logger.exception("the log %s cannot be cut", server.log.path)


def installed_or_copied(account: Account) -> Binaries:
    """The programs for the servers' user, below /var/lib/payspool for root.

    Raises what `binaries_for` raises, and DataDirUnusable or DiskFull if root's copy fails.
    """
    shelf = ROOT_HOME / "bin"
    try:
        if account.switched:
            make_parents(shelf, account)
        return binaries_for(account, shelf)
    except OSError as error:
        raise storage_error(shelf, error) from error


def _sweep_last(last: Instance | None) -> None:
    """Remove the socket folder of an instance that was killed together with its guard."""
    folder = last.run_dir if last else None
    if folder is not None and folder.name.startswith(RUN_PREFIX):
        sweep_folder(str(folder))


def _password(places: Places) -> str:
    """The servers' password for TCP logins, made once per data directory."""
    if not places.secret.exists():
        write_private(places.secret, secrets.token_urlsafe(24))
    return places.secret.read_text()
