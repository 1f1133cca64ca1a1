"""How long actors took: the table of percentiles on the page of queues."""

from __future__ import annotations

from collections.abc import Sequence

from domain.charts.service import ActorTimes
from web.dashboard.components.markup import Html, tag
from web.dashboard.components.show import duration, number
from web.dashboard.components.table import Column, table
from web.dashboard.visit import Visit


def durations(visit: Visit, times: Sequence[ActorTimes]) -> Html:
    """Percentiles of each actor, the busiest first."""

    def failed(row: ActorTimes) -> Html:
        shown = number(visit, row.failed)
        return tag("span", shown, class_="chip bad") if row.failed else shown

    return table(
        [
            Column("Actor", lambda r: tag("code", r.actor)),
            Column("Messages", lambda r: number(visit, r.messages), "num"),
            Column("Failed", failed, "num"),
            Column("Half within (p50)", lambda r: duration(r.p50), "num"),
            Column("95 of 100 (p95)", lambda r: duration(r.p95), "num"),
            Column("99 of 100 (p99)", lambda r: duration(r.p99), "num"),
            Column("Busy in all", lambda r: duration(r.busy_seconds), "num"),
        ],
        times,
        empty="No message was worked on in the last hour. Workers tell each minute once it is over.",
        label="Durations by actor",
    )
