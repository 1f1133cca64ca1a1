"""How it went: the queues, the events and the money, over a quarter of an hour up to a week."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from domain.charts import service, store
from domain.db import Tx
from domain.money import is_currency, minor_digits
from web.dashboard.components.charts import line
from web.dashboard.components.live import head, live, put
from web.dashboard.components.markup import Html, tag
from web.dashboard.components.show import sheet
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

SPANS: Final = {
    "15m": ("15 minutes", timedelta(minutes=15), timedelta(minutes=1)),
    "1h": ("1 hour", timedelta(hours=1), timedelta(minutes=1)),
    "24h": ("24 hours", timedelta(hours=24), timedelta(minutes=10)),
    "7d": ("7 days", timedelta(days=7), timedelta(hours=1)),
}
GAUGES: Final = (
    ("queue.ready", "Messages ready"),
    ("queue.oldest_seconds", "Oldest message waits (seconds)"),
    ("queue.in_flight", "Messages in flight"),
    ("queue.dead", "Dead letters in Valkey"),
)
COUNTS: Final = (
    ("events.received", "Events received"),
    ("events.applied", "Events applied"),
    ("events.not_applied", "Events refused, waiting or dead"),
)
BOOKED: Final = (
    ("booked.reward", "Earned"),
    ("booked.payout_paid", "Paid"),
    ("booked.payout_failed", "Failed"),
    ("booked.points_earned", "Points issued"),
    ("booked.points_redeemed", "Points redeemed"),
    ("booked.points_expired", "Points expired"),
)

ACTORS: Final = ("events.ingest", "payouts.send")
"""Whose latency is drawn; the page of queues has percentiles of all, over an hour."""

Data = tuple[datetime, dict[str, dict[str, Any]], dict[str, Any]]


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/charts", "Charts", _draw)


async def _draw(shown: Shown) -> None:
    visit = shown.visit
    key = visit.query.get("span", "1h")
    key = key if key in SPANS else "1h"
    _, span, step = SPANS[key]

    def load(tx: Tx) -> Data:
        end = store.minute(tx)
        begin = end - span
        found = {
            name: service.series(tx, name, since=begin, step=step, gauge=name.startswith("queue."))
            for name, _ in (*GAUGES, *COUNTS, *BOOKED)
        }
        times = service.latencies(tx, ACTORS, since=begin, step=step)
        return end, {name: dict(labels) for name, labels in found.items()}, times

    head("Charts", "a minute late; a chart is no book")
    links = [
        tag(
            "a",
            said,
            href=visit.with_query(span=one),
            class_="link-button",
            aria_current="true" if one == key else None,
        )
        for one, (said, _, _) in SPANS.items()
    ]
    put(tag("nav", *links, class_="row", aria_label="Span"))
    await live(
        visit, lambda: visit.read(load), lambda data: _show(visit, data, span, step), seconds=15
    )


def _show(visit: Visit, data: Data, span: timedelta, step: timedelta) -> None:
    end, found, times = data
    sheets: list[Html] = []
    for name, title in (*COUNTS, *GAUGES, *BOOKED):
        for label, points in sorted(found[name].items()):
            said = f"{title} · {label}" if label else title
            unit = (
                ""
                if name.startswith("queue.")
                else f" a {'minute' if step.seconds == 60 else _step(step)}"
            )
            if (
                name.startswith("queue.")
                and name != "queue.ready"
                and not any(v for _, v in points)
            ):
                continue
            scale = 10 ** minor_digits(label) if is_currency(label) else 1
            drawn = [(at, value / scale) for at, value in points]
            sheets.append(
                sheet(line(visit, drawn, begin=end - span, end=end, label=said), title=said + unit)
            )
        if name == COUNTS[-1][0]:
            sheets += _latencies(visit, times, end, span)
    if not sheets:
        put(
            tag(
                "p",
                "Nothing was recorded in this span. The scheduler keeps a minute each minute while it and"
                " a worker of the queue sweeps are running.",
                class_="sheet",
            )
        )
        return
    put(tag("div", *sheets, class_="cols"))


def _latencies(visit: Visit, times: dict[str, Any], end: datetime, span: timedelta) -> list[Html]:
    made = []
    for actor, percentiles in times.items():
        for share, points in zip(("half (p50)", "95 of 100 (p95)"), percentiles, strict=True):
            said = f"{actor}: {share} done within, seconds"
            made.append(
                sheet(line(visit, points, begin=end - span, end=end, label=said), title=said)
            )
    return made


def _step(step: timedelta) -> str:
    return "10 minutes" if step < timedelta(hours=1) else "hour"
