"""All SQL of how long actors took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.charts.rules import BUCKETS
from domain.db import Tx


@dataclass(frozen=True, slots=True)
class ActorMinute:
    """What one process did for an actor in a minute: ``counts`` as `rules.histogram`, ``busy_ms`` of its threads."""

    actor: str
    at: datetime
    counts: Sequence[int]
    failed: int
    busy_ms: int


def add(tx: Tx, minutes: Sequence[ActorMinute]) -> None:
    """Add what a process did to what others did; in key order, so that none waits for another in a circle."""
    for one in sorted(minutes, key=lambda minute: (minute.actor, minute.at)):
        tx.execute(
            _ADD,
            {
                "actor": one.actor,
                "at": one.at,
                "counts": list(one.counts),
                "failed": one.failed,
                "busy_ms": one.busy_ms,
            },
        )


_ADD: Final = text(
    """
    INSERT INTO actor_minutes AS m (actor, at, counts, failed, busy_ms)
    VALUES (:actor, :at, CAST(:counts AS bigint[]), :failed, :busy_ms)
    ON CONFLICT (actor, at) DO UPDATE
    SET counts = ARRAY(SELECT a + b FROM unnest(m.counts, EXCLUDED.counts) WITH ORDINALITY AS u (a, b, n) ORDER BY n),
        failed = m.failed + EXCLUDED.failed, busy_ms = m.busy_ms + EXCLUDED.busy_ms
    """
)


def since(tx: Tx, at: datetime) -> list[Any]:
    """(actor, counts, failed, busy_ms) of each actor since a minute, by name."""
    return list(
        tx.execute(
            text(
                """
                WITH kept AS MATERIALIZED (SELECT * FROM actor_minutes WHERE at >= :at),
                buckets AS (
                    SELECT actor, n, sum(c)::bigint AS c
                    FROM kept, unnest(counts) WITH ORDINALITY AS u (c, n) GROUP BY 1, 2
                ), added AS (
                    SELECT actor, array_agg(c ORDER BY n) AS counts FROM buckets GROUP BY 1
                )
                SELECT k.actor, added.counts, sum(k.failed)::bigint AS failed, sum(k.busy_ms)::bigint AS busy_ms
                FROM kept k JOIN added USING (actor) GROUP BY 1, 2 ORDER BY 1
                """
            ),
            {"at": at},
        )
    )


_ADDED: Final = ", ".join(f"sum(counts[{n}])::bigint" for n in range(1, BUCKETS + 1))


def series(tx: Tx, actors: Sequence[str], since: datetime, step: timedelta) -> list[Any]:
    """(actor, at, counts) of each ``step`` since a time, in order: what the minutes of it add up to."""
    return list(
        tx.execute(
            text(
                f"""
                SELECT actor, date_bin(CAST(:step AS interval), at, TIMESTAMPTZ '2000-01-01 00:00Z') AS at,
                       ARRAY[{_ADDED}] AS counts
                FROM actor_minutes WHERE actor = ANY(:actors) AND at >= :since GROUP BY 1, 2 ORDER BY 1, 2
                """  # noqa: S608 - made of numbers
            ),
            {"actors": list(actors), "since": since, "step": step},
        )
    )


def prune(tx: Tx, keep: timedelta) -> int:
    """Forget minutes that are older than ``keep``; returns how many."""
    return tx.execute(
        text("DELETE FROM actor_minutes WHERE at < clock_timestamp() - CAST(:keep AS interval)"),
        {"keep": keep},
    ).rowcount
