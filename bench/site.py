"""Where benches run: servers of their own with every fsync on, a new database for each run, processes."""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import psutil
import redis
from sqlalchemy import Engine, create_engine, make_url, pool, text

from bench.events import Codes, furnish
from domain.db import connect
from migrations import apply
from payspool.embedded import Embedded, Endpoints, scratch_data_dir

CHECKOUT: Final = Path(__file__).parents[1]
WAIT_SECONDS: Final = 300.0
"""Longest wait for anything; a bench that takes longer is broken."""
POLL_SECONDS: Final = 0.01
STOP_SECONDS: Final = 30.0
LOG_TAIL: Final = 2_000


class BenchFailed(Exception):
    """A bench could not be measured; the message says what happened and shows the log's end."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one run, furnished with a merchant, a program and codes."""

    url: str
    engine: Engine
    codes: Codes


class Site:
    """The servers of a whole call of ``make bench``. A context manager."""

    def __init__(self, *, memory_disk: Path | None = None) -> None:
        self._folder = scratch_data_dir(memory_disk)
        self._box = Embedded(self._folder / "data")

    def __enter__(self) -> Self:
        try:
            self.endpoints: Endpoints = self._box.start()
            self._sql(f'CREATE DATABASE "{_TEMPLATE}" OWNER payspool_owner')
            with create_engine(self._url("postgres"), poolclass=pool.NullPool).begin() as tx:
                tx.execute(text("ALTER SCHEMA public OWNER TO payspool_owner"))
            apply.upgrade(self._url("payspool_owner"))
            engine = connect(self._url("payspool_runtime"))
            self._codes = furnish(engine)
            engine.dispose()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._box.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Where files of a run can lie; it is removed at the end."""
        return self._folder

    @property
    def redis(self) -> redis.Redis:
        """A client of its own."""
        return redis.Redis.from_url(self.endpoints.redis_url)

    @property
    def postgres_pid(self) -> int:
        """The process whose children are the database's."""
        pid = self._box.pid_of("postgres")
        assert pid is not None, "it runs while the site is entered"
        return pid

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A database and an empty Valkey for one run."""
        with self.redis as client:
            client.flushall()
        name = f"run_{secrets.token_hex(4)}"
        self._sql(f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}" OWNER payspool_owner')
        # What the run before left to write is not this one's to pay.
        self._sql("CHECKPOINT")
        url = self._url("payspool_runtime", name)
        engine = connect(url)
        try:
            yield Database(url, engine, self._codes)
        finally:
            engine.dispose()
            self._sql(f'DROP DATABASE "{name}" WITH (FORCE)')

    @contextmanager
    def processes(
        self,
        commands: Sequence[Sequence[str]],
        database: Database,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator["Group"]:
        """Run Python modules beside one another, with ``settings`` in their environment; they are stopped at the end."""
        environment = os.environ | {
            "PAYSPOOL_DATABASE_URL": database.url,
            "PAYSPOOL_REDIS_URL": self.endpoints.redis_url,
            "PAYSPOOL_STRIPE_URL": "http://127.0.0.1:1",
            "PAYSPOOL_SECRET_KEYS": SECRET_KEY,
            "PAYSPOOL_LOG_LEVEL": "warning",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **settings,
        }
        log = self._folder / "processes.log"
        with log.open("w") as output:
            started = [
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    cwd=CHECKOUT,
                    env=environment,
                    stdout=output,
                    stderr=output,
                )
                for command in commands
            ]
            try:
                yield Group(started, log)
            finally:
                for process in started:
                    process.terminate()
                for process in started:
                    _end(process)

    def _url(self, user: str, database: str | None = None) -> str:
        url = make_url(self.endpoints.admin_url).set(username=user, database=database or _TEMPLATE)
        return url.render_as_string(hide_password=False)

    def _sql(self, statement: str) -> None:
        engine = create_engine(
            self.endpoints.admin_url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


@dataclass(frozen=True, slots=True)
class Group:
    """Processes of one run."""

    processes: Sequence["subprocess.Popen[Any]"]
    log: Path

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Look every 10 ms. Raises BenchFailed when a process ended, or after five minutes."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            ended = [p for p in self.processes if p.poll() is not None]
            if ended or time.monotonic() > deadline:
                why = f"{ended[0].args!r} ended" if ended else f"{WAIT_SECONDS:.0f} s passed"
                tail = self.log.read_text(errors="replace")[-LOG_TAIL:]
                raise BenchFailed(f"Waiting until {what}: {why}.\n{tail}")
            time.sleep(POLL_SECONDS)

    def cpu_seconds(self) -> float:
        """User and system time of the processes and their children so far."""
        return sum(tree_cpu_seconds(process.pid) for process in self.processes)


def tree_cpu_seconds(pid: int) -> float:
    """User and system time of a process and all below it, as far as they still live."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
    return total


_TEMPLATE: Final = "bench_template"
SECRET_KEY: Final = "A" * 43 + "="
"""What a run's database holds of secrets opens a sandbox at most."""


def _end(process: "subprocess.Popen[Any]") -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()
