"""The scheduler process: ticks the schedule tables. Any number may run; each fire happens once."""

from collections.abc import Callable
from typing import Any, Final

import psycopg
import structlog

from domain.clock import SCHEDULER_CHANNEL
from domain.db import Tx, transaction
from domain.schedules import guarding
from domain.schedules import service as schedules
from domain.schedules.guarding import Hold, Seen
from domain.schedules.rules import Every
from domain.schedules.service import Schedule
from workers import boot_clock
from workers.context import Runtime
from workers.failures import is_infrastructure
from workers.listening import listen
from workers.stopping import Stop

log = structlog.get_logger(__name__)

TICK_SECONDS: Final = 1.0
"""How often due schedules are looked for; a move of the simulated clock wakes it at once."""

TECHNICAL: Final = (
    Schedule("payouts.sweep", "sweeps", "payouts.sweep", Every(5)),
    Schedule("payouts.probe", "sweeps", "payouts.probe", Every(15)),
    Schedule("webhooks.sweep", "sweeps", "webhooks.sweep", Every(60)),
    Schedule("inbox.recheck_waiting", "sweeps", "inbox.recheck_waiting", Every(60)),
    Schedule("loyalty.time_out_holds", "sweeps", "loyalty.time_out_holds", Every(60)),
    Schedule("referrals.look_again", "sweeps", "referrals.look_again", Every(5)),
    Schedule("referrals.forget_counts", "sweeps", "referrals.forget_counts", Every(3_600)),
    Schedule("schedules.re_emit", "sweeps", "schedules.re_emit", Every(30)),
    Schedule("queues.mirror_dead", "sweeps", "queues.mirror_dead", Every(60)),
    Schedule("invariants.check", "sweeps", "invariants.check", Every(600)),
    Schedule("hooks.prune", "sweeps", "hooks.prune", Every(3_600)),
    Schedule("charts.keep_minute", "sweeps", "charts.keep_minute", Every(60)),
    Schedule("charts.roll_up", "sweeps", "charts.roll_up", Every(60)),
    Schedule("retention.prune", "sweeps", "retention.prune", Every(3_600)),
)
"""Sweeps that every installation has, on real time."""


def run(rt: Runtime, stop: Stop) -> None:
    """Tick until told to stop; waits out a database that is away."""
    watch = ClockWatch()
    while not stop.is_set():
        try:
            with transaction(rt.engine) as tx:
                for schedule in TECHNICAL:
                    schedules.register(tx, schedule)
            with listen(rt.engine, SCHEDULER_CHANNEL) as wake:
                _tick_until_stopped(rt, stop, wake, watch)
        except Exception as error:
            if not is_infrastructure(error):
                raise
            log.warning("scheduler.waiting", error=str(error)[:200])
            rt.watch.turned()
            stop.wait(TICK_SECONDS)


class ClockWatch:
    """What one scheduler knows of the clock, across the connections that it loses."""

    def __init__(self, elapsed: Callable[[], float] = boot_clock.elapsed) -> None:
        self._elapsed = elapsed
        self._last: Seen | None = None
        self._seen: Seen | None = None
        self._told: Hold | None = None

    def held(self, tx: Tx) -> bool:
        """Whether nothing may fire, because PostgreSQL's clock jumped; says so once.

        Call ``committed`` when ``tx`` is.
        """
        self._seen, hold = guarding.look(tx, boot_clock.boot(), self._elapsed(), self._last)
        if hold is not None and self._told != hold:
            log.error("scheduler.clock_held", detail=hold.sentence)
        self._told = hold
        return hold is not None

    def committed(self) -> None:
        """Go on from the last look: a hold that was rolled back has to be seen again by the next one."""
        self._last = self._seen


def tick(rt: Runtime, watch: ClockWatch) -> int:
    """Fire what is due, unless the clock is held; returns how many fires."""
    with transaction(rt.engine) as tx:
        fired = 0 if watch.held(tx) else schedules.tick(tx)
    watch.committed()
    return fired


def _tick_until_stopped(
    rt: Runtime, stop: Stop, wake: "psycopg.Connection[Any]", watch: ClockWatch
) -> None:
    while not stop.is_set():
        rt.watch.turned()
        fired = tick(rt, watch)
        if fired:
            rt.watch.fired(fired)
            log.info("scheduler.fired", fires=fired)
            continue
        for _ in wake.notifies(timeout=TICK_SECONDS, stop_after=1):
            break
