"""Cards taken over from a file by the command.

Each card brings points; every second one a second lot. After the runs every card is there once with its
points, and the file again changed nothing.
"""

import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import text

from bench.events import MERCHANT
from bench.figures import Figure, figure
from bench.options import Options
from bench.site import BenchFailed, Database, Site
from domain.db import snapshot, transaction
from domain.loyalty import service
from domain.merchants import service as merchants

LONGEST_SECONDS: Final = 3_600.0
SAMPLE_SECONDS: Final = 0.05
MIB: Final = 1_048_576
LOTS: Final = 3
"""Lots of two cards."""


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """Lines a second of a new file, of a dry run and of the file again; the memory that it takes."""
    file = site.folder / "cards.csv"
    points = _write(file, options.cards)
    lines = options.cards * LOTS // 2
    new: list[float] = []
    tried: list[float] = []
    again: list[float] = []
    memory: list[float] = []
    exactly = True
    for number in range(options.rounds):
        options.say(f"cards, round {number + 1} of {options.rounds}")
        with site.database() as database:
            with transaction(database.engine) as tx:
                merchant = merchants.get(tx, MERCHANT).id
                service.create_program(
                    tx, merchant, "bench", name="Bench", currency="eur", inactivity_days=365
                )
            for took, more in ((tried, ("--dry-run",)), (new, ()), (again, ())):
                seconds, most = _import(site, database, file, more)
                took.append(lines / seconds)
                memory.append(most / MIB)
            exactly = exactly and _exact(database, options.cards, points)
    yield figure("cards.import", "lines/s", new, exact=exactly)
    yield figure("cards.dry_run", "lines/s", tried, exact=exactly)
    yield figure("cards.again", "lines/s", again, exact=exactly)
    yield figure("cards.memory", "MiB at most", memory, exact=exactly)


def _write(file: Path, cards: int) -> int:
    points = 0
    with file.open("w", encoding="utf-8") as out:
        out.write("card,customer,enrolled_at,last_activity_at,points,earned_at,expires_at\n")
        now = _past_day()
        for number in range(cards):
            out.write(f"B{number:09d},u-{number},{now},{now},{number % 500 + 1},{now},\n")
            points += number % 500 + 1
            if number % 2:
                out.write(f"B{number:09d},,,,7,{now},never\n")
                points += 7
    return points


def _past_day() -> str:
    """A day that is past in every zone."""
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - timedelta(days=2).total_seconds()))


def _import(
    site: Site, database: Database, file: Path, more: tuple[str, ...]
) -> tuple[float, float]:
    """Seconds that the command takes, and the most memory (bytes) that it held."""
    command = ("payspool", "import", "cards", MERCHANT, str(file), *more)
    started, most = time.monotonic(), 0.0
    with site.processes([command], database) as group:
        (process,) = group.processes
        seen = psutil.Process(process.pid)
        while time.monotonic() - started < LONGEST_SECONDS:
            try:
                most = max(most, seen.memory_info().rss)
                process.wait(SAMPLE_SECONDS)
                break
            except (subprocess.TimeoutExpired, psutil.NoSuchProcess):
                continue
        seconds = time.monotonic() - started
        if process.poll() != 0:
            raise BenchFailed(f"{command} ended with {process.poll()}:\n{group.log.read_text()}")
    return seconds, most


def _exact(database: Database, cards: int, points: int) -> bool:
    with snapshot(database.engine) as tx:
        found = tx.execute(
            text("SELECT count(*), sum(points_balance) FROM cards WHERE number LIKE 'B%'")
        ).one()
        broken = service.check_invariants(tx)
    return tuple(found) == (cards, points) and not broken
