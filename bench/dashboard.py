"""What the dashboard takes with pages open: its memory, and of the rate at which events are applied."""

import time
from collections.abc import Iterator
from statistics import median
from typing import Final

import psutil

from bench import ingest, roads
from bench.figures import Figure, figure
from bench.open_pages import OpenPages, add_person, serving
from bench.options import Options
from bench.site import Site

SETTLE_SECONDS: Final = 12.0
"""Each page has drawn itself anew at least twice by then, and glanced at its queues."""
MIB: Final = 2**20


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """Memory with ``pages`` open, and ingest beside them against ingest alone, in turns."""
    alone, beside = list[float](), list[float]()
    memory, faults = list[float](), list[str]()
    for number in range(options.rounds):
        options.say(f"dashboard, round {number + 1} of {options.rounds}")
        with site.database() as database:
            run = ingest.ingested(site, options, roads.PACKED, options.events, database, "uniform")
            alone.append(run.rate)
            faults += run.faults
        with site.database() as database:
            add_person(database)
            with serving(site, database) as (base, pid), OpenPages(base, options.pages) as pages:
                time.sleep(min(SETTLE_SECONDS, options.seconds))
                run = ingest.ingested(
                    site, options, roads.PACKED, options.events, database, "uniform"
                )
                memory.append(_pss(pid) / MIB)
                faults += pages.check()
                options.say(f"the open pages drew {pages.updates} times anew")
            beside.append(run.rate)
            faults += run.faults
    for fault in faults:
        options.say(f"dashboard: {fault}")
    told = f"{options.pages} open pages"
    yield Figure("dashboard.memory", median(memory), "MiB", not faults, told)
    yield figure(
        "dashboard.ingest",
        "events/s",
        beside,
        exact=not faults,
        against="without a dashboard",
        peers=alone,
    )


def _pss(pid: int) -> int:
    """Proportional memory of a process and all below it, in bytes."""
    parent = psutil.Process(pid)
    found = [parent, *parent.children(recursive=True)]
    return sum(int(one.memory_full_info().pss) for one in found)
