"""Points that expire: those to come by week and program, what is due now, the last sweeps, and one by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from nicegui import ui

from domain import clock
from domain.db import Tx
from domain.loyalty import service as loyalty
from domain.merchants.service import Merchant
from domain.schedules import store as schedules
from web.dashboard.components.charts import bars
from web.dashboard.components.live import Live, Question, allowed, asking, button, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import (
    chip,
    link,
    number,
    number_text,
    sheet,
    some,
    when,
)
from web.dashboard.components.table import Column, table
from web.dashboard.pages.schedules import took
from web.dashboard.visit import Visit

SWEEPS: Final = 5
PROGRAMS: Final = 12
"""Programs that have a chart of their own; the others are one more."""


def forecasts(visit: Visit, rows: Sequence[Any]) -> list[Html]:
    """A chart of each program, by week: the one with the most points first."""
    title = "Points that will expire"
    if not rows:
        none = tag("p", "No points are due to expire in the next weeks.", class_="dim")
        return [sheet(none, title=title)]
    of: dict[str, dict[Any, int]] = {}
    for row in rows:
        of.setdefault(row.program, {})[row.week] = row.points
    largest = sorted(of, key=lambda program: -sum(of[program].values()))
    shown = {program: of[program] for program in largest[:PROGRAMS]}
    for program in largest[PROGRAMS:]:
        others = shown.setdefault("all others", {})
        for week, points in of[program].items():
            others[week] = others.get(week, 0) + points
    every = sorted({row.week for row in rows})
    return [
        sheet(_chart(visit, weeks, every), title=f"{title}: {program}")
        for program, weeks in shown.items()
    ]


def _chart(visit: Visit, weeks: dict[Any, int], every: Sequence[Any]) -> Html:
    total = number_text(visit, sum(weeks.values()))
    data = [
        (
            f"{week:%d %b}",
            weeks.get(week, 0),
            f"week of {week:%Y-%m-%d}: {number_text(visit, weeks.get(week, 0))} points",
        )
        for week in every
    ]
    return join(
        tag("p", f"{total} points if nothing happens on those cards."),
        bars(data, label=f"Points that expire, by week; {total} in all"),
    )


@dataclass(frozen=True)
class _Sweeps:
    """What is due now by program, and the merchant's schedule with its newest fires; None without one."""

    due: list[Any]
    schedule: Any
    fires: list[Any]


async def sweeps(visit: Visit, merchant: Merchant) -> None:
    """What the next sweep would expire, what the last ones did, and a button for one by hand."""
    name = f"loyalty.expire_points/{merchant.key}"
    parts: list[Live] = []

    def load(tx: Tx) -> _Sweeps:
        return _Sweeps(
            loyalty.dry_run(tx, merchant.id, clock.business_now(tx)),
            schedules.find(tx, name),
            schedules.fires(tx, name, SWEEPS),
        )

    async def refresh() -> None:
        await parts[0].again()

    # It is summed, so it is not kept up to date as often as what is only read.
    parts.append(
        await live(
            visit,
            lambda: visit.read(load),
            lambda data: _show(visit, name, data, refresh),
            seconds=60,
        )
    )


def _show(visit: Visit, name: str, data: _Sweeps, refresh: Any) -> None:
    if data.due and data.schedule is not None and allowed(visit, "schedule.run_now"):
        points, cards = (sum(getattr(row, of) for row in data.due) for of in ("points", "cards"))
        question = Question(
            "Expire what is due now?",
            (
                f"{number_text(visit, points)} points of {some(cards, 'card')} are due and expire for good;"
                " whatever is used until the sweep is at a card stays.",
                f"It fires {name}, as its time will anyway.",
            ),
            confirm="Expire them",
            kind="danger",
        )
        with ui.element("div").classes("row"):
            ask = asking(visit, "schedule.run_now", question, refresh, name=name)
            button("Expire what is due…", ask, "danger")
    put(
        tag(
            "div",
            sheet(
                _due(visit, data.due),
                title="What the next sweep would expire now (dry run)",
                flush=True,
            ),
            sheet(_fires(visit, name, data), title="Last sweeps", flush=True),
            class_="cols",
        )
    )


def _due(visit: Visit, rows: list[Any]) -> Html:
    return table(
        [
            Column("Program", lambda r: r.program),
            Column("Cards", lambda r: number(visit, r.cards), "num"),
            Column("Points", lambda r: number(visit, r.points), "num"),
        ],
        rows,
        empty="Nothing is due now.",
        label="Due now",
    )


def _fires(visit: Visit, name: str, data: _Sweeps) -> Html:
    if data.schedule is None:
        none = "No program lets points expire, so nothing is swept."
        return tag("p", none, class_="empty")

    def did(row: Any, what: str) -> Any:
        value = (row.progress or {}).get(what)
        return number(visit, value) if isinstance(value, int) else ""

    shown = table(
        [
            Column("As of", lambda r: when(visit, r.fire_at)),
            Column("State", lambda r: chip(r.state)),
            Column("Cards expired", lambda r: did(r, "cards"), "num"),
            Column("Points", lambda r: did(r, "points"), "num"),
            Column("Held by others", lambda r: did(r, "skipped"), "num"),
            Column("Announced", lambda r: did(r, "announced"), "num"),
            Column("Tiers changed", lambda r: did(r, "tiers"), "num"),
            Column("Took", took, "num"),
        ],
        data.fires,
        empty="It has not swept yet.",
        label="Last sweeps",
    )
    state = join("paused: ", data.schedule.pause_reason) if data.schedule.paused_at else Html("")
    more = tag(
        "p",
        link("Its schedule", f"/schedules/{name}"),
        " fires next ",
        when(visit, data.schedule.next_fire_at),
        " ",
        state,
        class_="note",
    )
    return join(shown, more)
