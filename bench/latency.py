"""How long an event takes from being published to being visible, at a steady rate.

Events are published one by one on a fixed timetable, each by ``Publisher.publish``. A reader asks the
database every few milliseconds which inbox rows it can see: a row is seen only after the commit of its
batch. The latency of an event runs from the moment the timetable names (so that a slow publish counts)
to the first answer that shows it, and is thus too long by up to one question.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine, text

from bench import exact, roads
from bench.events import conversions
from bench.figures import Figure, figure
from bench.options import Options
from bench.site import BenchFailed, Database, Site
from payspool_client import Publisher

ASK_SECONDS: Final = 0.003
"""The pause between two questions."""
PUBLISHERS: Final = 4
"""Each has its own connection: one alone waits for its disk at every event, and falls behind on a busy one."""
LEAD_SECONDS: Final = 0.2
AFTER_SECONDS: Final = 30.0
"""Longest wait for the last events."""


@dataclass(slots=True)
class _Timetable:
    """When each event is due to be published, and whether publishing went wrong."""

    due: list[float] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def over(self) -> bool:
        """Whether the last event was due."""
        return bool(self.due) and time.monotonic() > self.due[-1]


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """The median and the 99th percentile, each the median of the rounds."""
    p50, p99, exactly = [], [], True
    for number in range(options.rounds):
        options.say(f"latency, round {number + 1} of {options.rounds}")
        with site.database() as database:
            latencies, faults = _steady(site, options, database)
        for fault in faults:
            options.say(f"latency: {fault}")
        exactly = exactly and not faults
        ordered = sorted(latencies)
        p50.append(1000 * ordered[len(ordered) // 2])
        p99.append(1000 * ordered[len(ordered) * 99 // 100])
    steady = f"{options.rate:,} events/s for {options.seconds} s"
    yield figure("latency.p50", "ms", p50, exact=exactly, against=steady)
    yield figure("latency.p99", "ms", p99, exact=exactly, against=steady)


def _steady(site: Site, options: Options, database: Database) -> tuple[list[float], list[str]]:
    road, warm, count = roads.SINGLE, options.warm_events, options.rate * options.seconds
    codes = database.codes.uniform
    with site.redis as client, site.processes(road.commands(options.processes), database) as group:
        group.wait_until(lambda: road.ready(client, options.processes), "the workers serve")
        road.put(site.endpoints.redis_url, conversions(codes, warm, first=count))
        road.release(client)
        group.wait_until(lambda: road.left(client) == 0, "the first events are done")
        texts = list(conversions(codes, count))
        began = time.monotonic() + LEAD_SECONDS
        table = _Timetable([began + n / options.rate for n in range(count)])
        publishing = [
            threading.Thread(target=_publish, args=(site.endpoints.redis_url, texts, n, table))
            for n in range(PUBLISHERS)
        ]
        for one in publishing:
            one.start()
        seen = _watch(database.engine, count, table)
        for one in publishing:
            one.join()
        if table.error is not None:
            raise BenchFailed(f"publishing failed: {table.error!r}")
        group.wait_until(lambda: road.left(client) == 0, "all events are done")
        faults = exact.faults_of_rows(database.engine, count + warm) + exact.faults_of_queue(client)
    if len(seen) < count:
        raise BenchFailed(f"{count - len(seen)} events were not seen in time")
    return [seen[n] - table.due[n] for n in range(count)], faults


def _publish(url: str, texts: list[str], first: int, table: _Timetable) -> None:
    """Publish every ``PUBLISHERS``-th event when it is due."""
    try:
        with Publisher(url) as publisher:
            for n in range(first, len(texts), PUBLISHERS):
                if (early := table.due[n] - time.monotonic()) > 0:
                    time.sleep(early)
                publisher.publish(texts[n])
    except BaseException as error:  # told by the main thread
        table.error = error


def _watch(engine: Engine, count: int, table: _Timetable) -> dict[int, float]:
    """When each event (by number) was first seen."""
    seen: dict[int, float] = {}
    # All rows up to this id are committed and known; ids beyond may commit out of order.
    floor, beyond = 0, set[int]()
    deadline = None
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while len(seen) < count and table.error is None:
            rows = connection.execute(_SEEN, {"floor": floor}).all()
            now = time.monotonic()
            for row in rows:
                if row.id not in beyond:
                    beyond.add(row.id)
                    number = int(row.event_id[4:-5])  # ord-<number>/paid
                    if number < count:
                        seen[number] = now
            while floor + 1 in beyond:
                floor += 1
                beyond.discard(floor)
            if table.over:
                deadline = deadline or now + AFTER_SECONDS
                if now > deadline:
                    break
            time.sleep(ASK_SECONDS)
    return seen


_SEEN: Final = text("SELECT id, event_id FROM inbox_events WHERE id > :floor")
