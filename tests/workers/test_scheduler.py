"""The scheduler process: it wakes when business time moves, and shares its work with others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from structlog.testing import capture_logs

from domain import clock
from domain.audit.service import Actor
from domain.clock import SCHEDULER_CHANNEL
from domain.db import transaction
from domain.schedules import guarding
from domain.schedules import service as schedules
from domain.schedules.rules import Cron, Every
from domain.schedules.service import Schedule
from workers import boot_clock, scheduler
from workers.context import Runtime
from workers.registry import ACTORS
from workers.stopping import Stop

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PATIENCE = 20
"""Seconds that a test waits for something to happen."""


@pytest.fixture
def rt(engine: Engine) -> Runtime:
    return Runtime(engine, None, "test", None, sandbox=True)  # type: ignore[arg-type]


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with transaction(engine) as tx:
        return [tuple(row) for row in tx.execute(text(statement))]


def wait_until(condition: Callable[[], bool]) -> float:
    """Seconds until ``condition`` holds."""
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE:
        if condition():
            return time.monotonic() - started
        time.sleep(0.002)
    raise AssertionError("it never happened")


@pytest.fixture
def start(rt: Runtime) -> Iterator[Callable[[int], None]]:
    """Start so many schedulers in threads; returns once they listen."""
    stop, threads = Stop(), []

    def run(count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=scheduler.run, args=(rt, stop), daemon=True)
            thread.start()
            threads.append(thread)
        listening = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        )
        wait_until(lambda: rows(rt.engine, listening)[0][0] >= count)

    yield run
    stop.set()
    rows(rt.engine, f"SELECT pg_notify('{SCHEDULER_CHANNEL}', '')")
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def at(engine: Engine, moment: datetime) -> None:
    with transaction(engine) as tx:
        clock.simulate(tx, moment, sandbox=True)


def daily(engine: Engine, name: str = "daily") -> None:
    with transaction(engine) as tx:
        schedules.register(tx, Schedule(name, "sweeps", "some.sweep", Cron("0 6 * * *")))


def fired(engine: Engine, name: str = "daily") -> list[datetime]:
    found = rows(engine, f"SELECT fire_at FROM schedule_fires WHERE name = '{name}' ORDER BY 1")
    return [fire_at for (fire_at,) in found]


def test_a_move_of_business_time_wakes_the_scheduler_at_once(
    rt: Runtime, start: Callable[[int], None]
) -> None:
    at(rt.engine, START)
    daily(rt.engine)
    start(1)
    for day in range(1, 6):
        at(rt.engine, START + day * DAY)
        assert wait_until(lambda: len(fired(rt.engine)) == day) < 0.5  # noqa: B023
    assert fired(rt.engine)[-1] == START + 4 * DAY + timedelta(hours=6)


def test_schedulers_side_by_side_make_each_fire_once(
    rt: Runtime, start: Callable[[int], None]
) -> None:
    at(rt.engine, START)
    for number in range(5):
        daily(rt.engine, f"daily-{number}")
    start(4)
    for day in range(1, 8):
        at(rt.engine, START + day * DAY)
        wait_until(lambda: len(fired(rt.engine, "daily-4")) == day)  # noqa: B023
    wait_until(lambda: all(len(fired(rt.engine, f"daily-{n}")) == 7 for n in range(5)))
    messages = rows(
        rt.engine, "SELECT args->>'name', args->>'fire_at' FROM outbox WHERE actor = 'some.sweep'"
    )
    assert len(messages) == len(set(messages)) == 35


def test_a_scheduler_has_the_sweeps_that_every_installation_needs(
    rt: Runtime, start: Callable[[int], None]
) -> None:
    start(2)
    names = {schedule.name for schedule in scheduler.TECHNICAL}
    assert {name for (name,) in rows(rt.engine, "SELECT name FROM schedules")} == names
    import workers.actors  # noqa: F401 (fills the registry)

    for schedule in scheduler.TECHNICAL:
        assert ACTORS[schedule.actor].queue == schedule.queue


def test_a_scheduler_whose_connections_are_cut_comes_back_by_itself(
    rt: Runtime, start: Callable[[int], None]
) -> None:
    at(rt.engine, START)
    daily(rt.engine)
    start(1)
    with capture_logs() as lines:
        rows(
            rt.engine,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        at(rt.engine, START + DAY)
        assert wait_until(lambda: len(fired(rt.engine)) == 1) < 5
    assert "scheduler.waiting" in [line["event"] for line in lines]


def test_a_scheduler_fires_nothing_by_a_clock_that_jumped_and_goes_on_when_it_is_accepted(
    rt: Runtime,
) -> None:
    behind = 0.0
    watch = scheduler.ClockWatch(lambda: 1e6 + time.monotonic() - behind)
    with transaction(rt.engine) as tx:
        assert not watch.held(tx)
    behind = 3_600.0
    with capture_logs() as lines, transaction(rt.engine) as tx:
        assert watch.held(tx)
        assert watch.held(tx)
    assert [line["event"] for line in lines] == ["scheduler.clock_held"]
    with transaction(rt.engine) as tx:
        guarding.accept_clock(tx, actor=Actor("person", "ann"))
        assert not watch.held(tx)


@dataclass
class Jumping:
    """A scheduler with something due, and a machine beside whose time PostgreSQL's clock can jump."""

    rt: Runtime
    ahead: float = 0.0

    def __post_init__(self) -> None:
        self.watch = scheduler.ClockWatch(lambda: 1e6 + time.monotonic() - self.ahead)
        with transaction(self.rt.engine) as tx:
            schedules.register(tx, Schedule("due", "sweeps", "some.sweep", Every(60)))
        self.tick()

    def tick(self) -> int:
        rows(self.rt.engine, "UPDATE schedules SET next_fire_at = now() RETURNING 1")
        return scheduler.tick(self.rt, self.watch)


class Lost(Exception):
    """The connection is lost before the commit."""


def test_a_hold_that_was_not_committed_is_put_on_again_before_anything_fires(rt: Runtime) -> None:
    jumping = Jumping(rt)
    assert jumping.tick() == 1
    jumping.ahead = 3_600.0

    def lose(_: object) -> None:
        raise Lost

    rows(rt.engine, "UPDATE schedules SET next_fire_at = now() RETURNING 1")
    event.listen(rt.engine, "commit", lose)
    with pytest.raises(Lost):
        scheduler.tick(rt, jumping.watch)
    event.remove(rt.engine, "commit", lose)
    assert rows(rt.engine, "SELECT held_at FROM scheduler_clock") == [(None,)]
    assert jumping.tick() == 0
    assert rows(rt.engine, "SELECT held_at IS NOT NULL FROM scheduler_clock") == [(True,)]


def test_a_scheduler_knows_of_a_jump_by_its_own_last_tick(rt: Runtime) -> None:
    jumping = Jumping(rt)
    assert jumping.tick() == 1
    # The tick in the database is of another machine, and taken after the jump.
    rows(
        rt.engine,
        "UPDATE scheduler_clock SET boot = 'other', elapsed_seconds = 5, ticked_at = now() RETURNING 1",
    )
    jumping.ahead = 3_600.0
    assert jumping.tick() == 0


def test_a_hold_keeps_a_running_scheduler_from_firing(
    rt: Runtime, start: Callable[[int], None]
) -> None:
    with transaction(rt.engine) as tx:
        guarding.look(tx, boot_clock.boot(), boot_clock.elapsed() + 86_400, None)
    # By this machine's boot a day has passed that PostgreSQL's clock does not show.
    start(1)
    wait_until(
        lambda: rows(rt.engine, "SELECT held_at IS NOT NULL FROM scheduler_clock") == [(True,)]
    )
    rows(rt.engine, "UPDATE schedules SET next_fire_at = now() - interval '1 minute' RETURNING 1")
    rows(rt.engine, f"SELECT pg_notify('{SCHEDULER_CHANNEL}', '')")
    with transaction(rt.engine) as tx:
        guarding.accept_clock(tx, actor=Actor("person", "ann"))
    rows(rt.engine, f"SELECT pg_notify('{SCHEDULER_CHANNEL}', '')")
    wait_until(lambda: rows(rt.engine, "SELECT count(*) FROM schedule_fires")[0][0] > 0)
    held, first = rows(
        rt.engine,
        "SELECT (SELECT min(created_at) FROM audit_entries WHERE action = 'scheduler.clock_accepted'),"
        " (SELECT min(created_at) FROM schedule_fires)",
    )[0]
    assert first > held
