"""Use cases of charts: keep what a minute was like, and give a span of it back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain.charts import duration_store, store
from domain.charts.rules import percentile
from domain.db import Tx

KEPT: Final = timedelta(days=8)
"""How long minutes are kept: the longest chart shows a week."""
LABELS_MAX: Final = 50
"""Queues, currencies and programs that are kept of one thing in a minute."""


def keep_minute(tx: Tx, gauges: Mapping[str, Mapping[str, int]]) -> int:
    """Keep the present minute: ``gauges`` (name → label → value), and what was received and booked.

    Rows are counted by their ids, and only those that were there a minute before: an id is drawn before its
    transaction commits, and by then it has. Charts show them a minute late, and are no books. Repeated within
    a minute, nothing is added. Returns how many numbers were written.
    """
    at = store.minute(tx)
    rows = [
        (name, label, value)
        for name, labels in gauges.items()
        for label, value in list(labels.items())[:LABELS_MAX]
    ]
    for table, newest in store.newest_ids(tx).items():
        kept = store.last_cursors(tx, table, at)
        if len(kept) == 2:
            rows += _counted(tx, table, after=kept[1], upto=kept[0])
        rows.append((store.CURSOR, table, newest))
    written = store.put(tx, at, rows)
    store.prune(tx, KEPT)
    duration_store.prune(tx, KEPT)
    return written


def _counted(tx: Tx, table: str, *, after: int, upto: int) -> list[tuple[str, str, int]]:
    if table == "inbox_events":
        by_state = store.events_between(tx, after, upto)
        applied = by_state.get("applied", 0)
        total = sum(by_state.values())
        return [
            ("events.received", "", total),
            ("events.applied", "", applied),
            ("events.not_applied", "", total - applied),
        ]
    found = store.transfers_between(tx, after, upto)[:LABELS_MAX]
    return [(f"booked.{row.kind}", row.currency, row.amount) for row in found]


def series(
    tx: Tx, name: str, *, since: datetime, step: timedelta, gauge: bool = False
) -> dict[str, Sequence[tuple[datetime, int]]]:
    """By label, what ``name`` was in each ``step`` since a time: sums, or of a gauge the highest."""
    found: dict[str, list[tuple[datetime, int]]] = {}
    for row in store.series(tx, name, since=since, step=step, gauge=gauge):
        found.setdefault(row.label, []).append((row.at, row.value))
    return dict(found)


Points = Sequence[tuple[datetime, float]]


def latencies(
    tx: Tx, actors: Sequence[str], *, since: datetime, step: timedelta
) -> dict[str, tuple[Points, Points]]:
    """By actor, within how many seconds a half and 95 of a hundred of its messages were done, in each ``step``."""
    found: dict[str, tuple[list[tuple[datetime, float]], list[tuple[datetime, float]]]] = {}
    for row in duration_store.series(tx, actors, since, step):
        half, most = found.setdefault(row.actor, ([], []))
        for points, share in ((half, 0.5), (most, 0.95)):
            seconds = percentile(row.counts, share)
            if seconds is not None:
                points.append((row.at, seconds))
    return dict(found)


@dataclass(frozen=True, slots=True)
class ActorTimes:
    """How long an actor's messages took: seconds below which a half, 95 and 99 of a hundred are.

    ``busy_seconds`` is what they took together, of one thread.
    """

    actor: str
    messages: int
    failed: int
    p50: float
    p95: float
    p99: float
    busy_seconds: float


def actor_times(tx: Tx, span: timedelta) -> list[ActorTimes]:
    """What each actor took in the last ``span`` of full minutes, the busiest first."""
    made = []
    for row in duration_store.since(tx, store.minute(tx) - span):
        p50, p95, p99 = (percentile(row.counts, share) for share in (0.5, 0.95, 0.99))
        if p50 is None or p95 is None or p99 is None:
            continue
        made.append(
            ActorTimes(row.actor, sum(row.counts), row.failed, p50, p95, p99, row.busy_ms / 1000)
        )
    return sorted(made, key=lambda one: (-one.busy_seconds, one.actor))
