"""``python -m bench.pages``: how long the server takes for each page of the dashboard with many rows behind it.

A command of its own, beside the figures of ``make bench``.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from typing import Annotated, Final

import httpx
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, make_url, pool, text

from bench.many_rows import HOT, HOT_RUN, QUIET, fill
from bench.open_pages import add_person, serving, signed_in
from bench.site import Database, Site
from domain.db import transaction
from domain.ledger import rollups
from domain.loyalty import service as loyalty

GOAL_MS: Final = 300.0

PATHS: Final = (
    "/", "/charts", "/queues", "/dead", "/dead?text=KeyError", "/dead?text=nowhere", "/dead?queue=payouts",
    "/dead/77", "/schedules", "/audit", "/audit?actor=nobody", "/audit?action=payout", "/audit?action=user",
    "/audit?actor=ada&action=user", "/audit?merchant=quiet", "/stops", "/users", "/search?q=t-77",
    "/search?q=nothing", "/m/{key}/events", "/m/{key}/events?status=rejected",
    "/m/{key}/events?status=rejected&reason=nothing", "/m/{key}/events?status=rejected&type=nothing",
    "/m/{key}/events?id=e-77", "/m/{key}/events/77",
    "/m/{quiet}/events", "/m/{quiet}/events?status=rejected",
    "/m/{key}/runs", "/m/{key}/runs/{hot_run}", "/m/{key}/payouts", "/m/{key}/payouts?before=5000",
    "/m/{key}/payouts?state=failed", "/m/{key}/payouts?state=paid&currency=eur", "/m/{key}/payouts?method=wise",
    "/m/{key}/payouts?run={hot_run}", "/m/{key}/payouts/77", "/m/{quiet}/payouts",
    "/m/{key}/payees", "/m/{key}/payees?after=user-5", "/m/{key}/payees/user-77", "/m/{key}/payees/{hot}",
    "/m/{key}/referrals", "/m/{key}/referrals?user=user-77", "/m/{key}/referrals?user={hot}",
    "/m/{key}/referrals?user=nobody", "/m/{quiet}/referrals", "/m/{key}/holds", "/m/{key}/holds?state=ended",
    "/m/{key}/holds?kind=self", "/m/{key}/loyalty", "/m/{key}/loyalty?customer=user-77",
    "/m/{key}/loyalty/4000000000077", "/m/{quiet}/loyalty", "/m/{key}/ledger", "/m/{quiet}/ledger", "/m/{key}/webhooks", "/dead?actor=nobody",
)  # fmt: skip


def main(
    rows: Annotated[
        int,
        typer.Option(min=1_000, help="events, earnings; a tenth payouts, a hundredth dead letters"),
    ] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="times that each page is asked for")] = 5,
    statements: Annotated[
        int, typer.Option(min=0, help="show statements that took this many ms or more (0: none)")
    ] = 0,
) -> None:
    """Fill a database of its own, ask for each page, tell the median and the worst. Ends with 1 above the goal."""
    console = Console()
    with Site() as site, site.database() as database:
        began = time.monotonic()
        add_person(database)
        key = fill(site, database, rows)
        # As the scheduler does each minute.
        rollups.roll_up_ledger(database.engine)
        loyalty.roll_up_cards(database.engine)
        size = _size(database)
        console.print(f"{rows:,} events and more, {size}, in {time.monotonic() - began:.0f} s.")
        _log_slow(site, database, statements)
        slow = _ask(site, database, key, rounds, console)
        if statements:
            for said in _slow_statements(site):
                console.print(said, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1 if slow else 0)


def _size(database: Database) -> str:
    with transaction(database.engine) as tx:
        said = text("SELECT pg_size_pretty(pg_database_size(current_database()))")
        return str(tx.execute(said).scalar_one())


def _log_slow(site: Site, database: Database, milliseconds: int) -> None:
    """Have PostgreSQL log what takes long, for connections from now on."""
    url = make_url(database.url)
    admin = create_engine(
        make_url(site.endpoints.admin_url).set(database=url.database), poolclass=pool.NullPool
    )
    with admin.begin() as tx:
        limit = milliseconds or -1
        tx.execute(
            text(f'ALTER DATABASE "{url.database}" SET log_min_duration_statement = {limit}')
        )


def _slow_statements(site: Site) -> Iterator[str]:
    """Each statement with its longest duration, the longest first."""
    log = "".join(
        file.read_text(errors="replace")
        for file in site.folder.rglob("*postgres*.log*")
        if file.is_file()
    )
    longest: dict[str, float] = {}
    for said in re.split(r"^(?=\d{4}-\d\d-\d\d )", log, flags=re.MULTILINE):
        found = re.search(r"duration: ([0-9.]+) ms  \w+[^:]*: (.*)", said, flags=re.DOTALL)
        if found is not None:
            statement = " ".join(found[2].split())
            longest[statement] = max(longest.get(statement, 0.0), float(found[1]))
    for statement, took in sorted(longest.items(), key=lambda one: -one[1]):
        yield f"{took:.0f} ms  {statement}"


def _ask(site: Site, database: Database, key: str, rounds: int, console: Console) -> list[str]:
    slow: list[str] = []
    shown = Table("Page", "median ms", "worst ms", "says")
    with serving(site, database) as (base, _), signed_in(base) as client:
        for path in PATHS:
            times, said = [], ""
            asked = path.format(key=key, quiet=QUIET, hot=HOT, hot_run=HOT_RUN)
            for _ in range(rounds):
                began = time.perf_counter()
                answer = client.get(asked)
                times.append((time.perf_counter() - began) * 1000)
                said = _refusal(answer)
            median = statistics.median(times)
            shown.add_row(path, f"{median:.0f}", f"{max(times):.0f}", said)
            if median > GOAL_MS or said:
                slow.append(path)
    console.print(shown)
    return slow


def _refusal(answer: httpx.Response) -> str:
    """What a page says instead of what it shows; nothing for a good one."""
    if answer.status_code not in (200, 307):
        return str(answer.status_code)
    # Messages of a page that could not be drawn (web.dashboard.shell).
    for said in ("takes longer than a page", "cannot say this now", "does not answer now"):
        if said in answer.text:
            return said
    return ""


if __name__ == "__main__":
    typer.run(main)
