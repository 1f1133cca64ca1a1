"""Looking at what the API needs: each dependency within a bounded time, one look at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

from redis import RedisError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from domain import clock
from domain.payouts.service import watermark
from domain.schedules import store as schedules
from queues.connection import connect
from web.api.schemas import Dependency
from web.context import ApiContext
from web.errors import log

LATE_SECONDS: Final = 120.0
"""A sweep that begins later than that is told: several times the interval of the frequent ones."""

Check = Callable[[], str | None]
"""Looks at one dependency, in a thread: None if it is well, else what is wrong."""


class Probe:
    """Runs a check for whoever asks, in at most one thread.

    A check that hangs (a server that is gone without a word) is waited for no longer than the caller
    allows, and not started again beside itself; its thread is a daemon, so it holds up no exit.
    """

    def __init__(self, name: str, check: Check) -> None:
        self.name = name
        self._check = check
        self._running: asyncio.Future[str | None] | None = None

    async def look(self, seconds: float) -> Dependency:
        """What the check says, or that it did not say it within `seconds`."""
        started = time.monotonic()
        if self._running is None or self._running.done():
            self._running = self._start()
        done, _ = await asyncio.wait({self._running}, timeout=seconds)
        problem = self._running.result() if done else f"It did not answer within {seconds:g} s."
        return Dependency(
            status="ok" if problem is None else "failed",
            detail=problem,
            milliseconds=round((time.monotonic() - started) * 1000, 1),
        )

    def _start(self) -> asyncio.Future[str | None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str | None] = loop.create_future()

        def settle(problem: str | None) -> None:
            if not future.done():
                future.set_result(problem)

        def run() -> None:
            try:
                problem = self._check()
            except (SQLAlchemyError, RedisError, OSError) as error:
                # The error may name hosts and users: that is for the log.
                log.warning("not ready", dependency=self.name, error=str(error).splitlines()[:1])
                problem = "It cannot be reached; the log says why."
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, problem)

        threading.Thread(target=run, name=f"ready-{self.name}", daemon=True).start()
        return future


def probes(context: ApiContext) -> list[Probe]:
    """What `/readyz` looks at. Connects to nothing yet."""
    seconds = context.limits.ready_seconds
    return [
        Probe("database", lambda: _database(context.engine, context.revision, seconds)),
        Probe("redis", lambda: _redis(context.redis_url, seconds)),
    ]


def sweeps(context: ApiContext) -> Probe:
    """Looks whether sweeps are late. That is for people to know; requests are served without them."""
    return Probe("sweeps", lambda: _sweeps(context.engine, context.limits.ready_seconds))


def failover(context: ApiContext) -> Probe:
    """Looks whether sending is stopped after a failover: for people to know as well."""
    return Probe("failover", lambda: _failover(context.engine, context.limits.ready_seconds))


def _failover(engine: Engine, seconds: float) -> str | None:
    with engine.begin() as tx:
        _bounded(tx, seconds)
        stop = watermark.in_force(tx)
    return None if stop is None else f"No payouts are sent: {stop.sentence}"


def _sweeps(engine: Engine, seconds: float) -> str | None:
    with engine.begin() as tx:
        _bounded(tx, seconds)
        lags = schedules.lags(tx, clock.business_now(tx))
    late = [
        f"{row.actor} by {row.late_seconds:.0f} s"
        for row in lags
        if row.late_seconds > LATE_SECONDS
    ]
    if not late:
        return None
    return f"Sweeps are late: {', '.join(late)}. Do a scheduler and a sweep worker run?"


def _bounded(connection: Connection, seconds: float) -> None:
    connection.execute(
        text("SELECT set_config('statement_timeout', :milliseconds, true)"),
        {"milliseconds": str(int(seconds * 1000))},
    )


def _database(engine: Engine, needed: str, seconds: float) -> str | None:
    """Revisions are numbered, and newer ones serve older processes while a deploy is under way."""
    with engine.connect() as connection:
        _bounded(connection, seconds)
        try:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except ProgrammingError:
            found = None
    if found is None:
        return "It has no tables yet. Run `payspool migrate`."
    if found < needed:
        return f"It is at revision {found} and {needed} is needed. Run `payspool migrate`."
    return None


def _redis(url: str, seconds: float) -> str | None:
    with connect(url, connect_timeout=seconds, read_timeout=seconds) as client:
        role = client.role()[0]
        appends = client.info("persistence").get("aof_enabled")
    if role not in (b"master", "master"):
        return "It is a replica, which takes no events. Set PAYSPOOL_REDIS_URL to the primary."
    if not appends:
        return (
            "It keeps no append-only file, so that no event would outlast it. Set appendonly yes."
        )
    return None
