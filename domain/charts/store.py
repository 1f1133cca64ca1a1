"""All SQL of the minutes that charts show."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

CURSOR: Final = "cursor"
"""Name under which the last id of a table is kept, minute by minute: rows between two of them came then."""


def put(tx: Tx, at: datetime, rows: Sequence[tuple[str, str, int]]) -> int:
    """Write (name, label, value) of the minute ``at``; what it has already stays. Returns how many were new."""
    names, labels, values = (list(column) for column in zip(*rows, strict=True))
    return tx.execute(
        text(
            """
            INSERT INTO metric_minutes (name, label, at, value)
            SELECT name, label, :at, value
            FROM unnest(CAST(:names AS text[]), CAST(:labels AS text[]), CAST(:values AS bigint[]))
                 AS m (name, label, value)
            ORDER BY name, label ON CONFLICT DO NOTHING
            """
        ),
        {"at": at, "names": names, "labels": labels, "values": values},
    ).rowcount


def minute(tx: Tx) -> datetime:
    """The minute that it is, by PostgreSQL's real clock."""
    now: datetime = tx.execute(
        text("SELECT date_trunc('minute', clock_timestamp(), 'UTC')")
    ).scalar_one()
    return now


def newest_ids(tx: Tx) -> dict[str, int]:
    """The newest id of each table whose rows are counted."""
    row = tx.execute(
        text(
            """
            SELECT coalesce((SELECT max(id) FROM inbox_events), 0) AS inbox_events,
                   coalesce((SELECT max(id) FROM ledger_transfers), 0) AS ledger_transfers
            """
        )
    ).one()
    return dict(row._mapping)


def last_cursors(tx: Tx, label: str, before: datetime) -> list[int]:
    """The two newest ids that were kept of a table before a minute, newest first."""
    return list(
        tx.execute(
            text(
                """
                SELECT value FROM metric_minutes WHERE name = :name AND label = :label AND at < :before
                ORDER BY at DESC LIMIT 2
                """
            ),
            {"name": CURSOR, "label": label, "before": before},
        ).scalars()
    )


def events_between(tx: Tx, after: int, upto: int) -> dict[str, int]:
    """How many events of each state have an id above ``after``, up to ``upto``."""
    rows = tx.execute(
        text(
            """
            SELECT status, count(*) AS events FROM inbox_events WHERE id > :after AND id <= :upto
            GROUP BY 1
            """
        ),
        {"after": after, "upto": upto},
    )
    return {row.status: row.events for row in rows}


def transfers_between(tx: Tx, after: int, upto: int) -> list[Any]:
    """(kind, currency, amount) of the ledger's transfers with an id above ``after``, up to ``upto``."""
    return list(
        tx.execute(
            text(
                """
                SELECT kind, currency, sum(amount)::bigint AS amount FROM ledger_transfers
                WHERE id > :after AND id <= :upto GROUP BY 1, 2
                """
            ),
            {"after": after, "upto": upto},
        )
    )


def totals(tx: Tx, names: Sequence[str], since: datetime) -> list[Any]:
    """(name, label, value): the sums of what was counted since a time."""
    return list(
        tx.execute(
            text(
                """
                SELECT name, label, sum(value)::bigint AS value FROM metric_minutes
                WHERE name = ANY(:names) AND at >= :since GROUP BY 1, 2 ORDER BY 1, 2
                """
            ),
            {"names": list(names), "since": since},
        )
    )


def prune(tx: Tx, keep: timedelta) -> int:
    """Forget minutes that are older than ``keep``; returns how many numbers."""
    return tx.execute(
        text("DELETE FROM metric_minutes WHERE at < clock_timestamp() - CAST(:keep AS interval)"),
        {"keep": keep},
    ).rowcount


def series(tx: Tx, name: str, *, since: datetime, step: timedelta, gauge: bool) -> list[Any]:
    """(label, at, value) of each ``step`` since a time: the sum of its minutes, or of a gauge the highest."""
    how = "max" if gauge else "sum"
    return list(
        tx.execute(
            text(
                f"""
                SELECT label, date_bin(CAST(:step AS interval), at, TIMESTAMPTZ '2000-01-01 00:00Z') AS at,
                       {how}(value)::bigint AS value
                FROM metric_minutes WHERE name = :name AND at >= :since GROUP BY 1, 2 ORDER BY 1, 2
                """  # noqa: S608 - one of two words
            ),
            {"name": name, "since": since, "step": step},
        )
    )
