"""SQL of what operators do with refused and dead events: find them, lock them, give them a new revision."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

_COLUMNS = """
    i.id, i.merchant_id, m.key AS merchant, m.retired_at, i.source, i.event_id, i.type, i.occurred_at,
    i.received_at, i.content_hash, i.data, i.raw, i.status, i.reason, i.detail, i.correlation
"""


def by_id(tx: Tx, ids: Sequence[int], *, lock: bool = False) -> list[Any]:
    """Events by id, ascending. Locked: a worker that applies a replay of one comes before or after."""
    locking = "FOR NO KEY UPDATE OF i" if lock else ""
    return list(
        tx.execute(
            text(
                f"""
                SELECT {_COLUMNS} FROM inbox_events i JOIN merchants m ON m.id = i.merchant_id
                WHERE i.id = ANY(:ids) ORDER BY i.id {locking}
                """  # noqa: S608 (constants)
            ),
            {"ids": sorted(ids)},
        )
    )


_MATCHES = """
    (CAST(:merchant_id AS bigint) IS NULL OR i.merchant_id = :merchant_id)
    AND (CAST(:reason AS text) IS NULL OR i.reason = :reason)
    AND (CAST(:since AS timestamptz) IS NULL OR i.received_at >= :since)
    AND (CAST(:type AS text) IS NULL OR i.type = :type)
"""


def to_retry(
    tx: Tx, filters: dict[str, Any], left_out: Iterable[str], after: int, limit: int
) -> list[Any]:
    """Refused and dead events after an id, ascending; without those of the reasons ``left_out``.

    ``filters`` has statuses, merchant_id, reason, since and type; None does not filter. It costs the events
    from ``after`` to the last that is returned, however many are left behind that.
    """
    values = filters | {"left_out": list(left_out)}
    found: list[int] = []
    window = limit
    while len(found) < limit:
        rows = tx.execute(_NEXT, values | {"after": after, "window": window}).all()
        matching = [row.id for row in rows if row.matches]
        found += matching
        if len(rows) < window:
            break
        after = rows[-1].id
        window = limit if matching else min(window * 2, _MOST_AT_ONCE)
    return by_id(tx, found[:limit])


_MOST_AT_ONCE: Final = 10_000
"""Events that one statement looks at where none of many matches."""
# The index is by status and id: one limited scan of it for each status needs no sort of all that is left.
# Filters come after the merge, else a status of which nothing matches were read to its end for each page.
_NEXT = text(
    f"""
    SELECT i.id, {_MATCHES} AND NOT i.reason = ANY(:left_out) AS matches
    FROM (
        (SELECT id, merchant_id, reason, received_at, type FROM inbox_events
         WHERE status = 'rejected' AND 'rejected' = ANY(CAST(:statuses AS text[])) AND id > :after
         ORDER BY id LIMIT :window)
        UNION ALL
        (SELECT id, merchant_id, reason, received_at, type FROM inbox_events
         WHERE status = 'dead' AND 'dead' = ANY(CAST(:statuses AS text[])) AND id > :after
         ORDER BY id LIMIT :window)
    ) i
    ORDER BY i.id LIMIT :window
    """  # noqa: S608 (constants)
)


def count_to_retry(
    tx: Tx, filters: dict[str, Any], left_out: Iterable[str], at_most: int | None
) -> tuple[int, int]:
    """How many events match, and how many more would if their reasons were not ``left_out``.

    Each is counted up to ``at_most`` (None: all).
    """
    clauses = {
        "merchant_id": "i.merchant_id = :merchant_id",
        "reason": "i.reason = :reason",
        "since": "i.received_at >= :since",
        "type": "i.type = :type",
    }
    used = {name: filters[name] for name in clauses if filters[name] is not None}
    of_status = " AND ".join(
        ["i.status = ANY(:statuses) AND i.status <> 'applied'", *(clauses[name] for name in used)]
    )
    row = tx.execute(
        text(
            f"""
            SELECT (SELECT count(*) FROM (
                        SELECT FROM inbox_events i WHERE {of_status} AND NOT i.reason = ANY(:left_out) LIMIT :at_most
                   ) t) AS taken,
                   (SELECT count(*) FROM (
                        SELECT FROM inbox_events i WHERE {of_status} AND i.reason = ANY(:left_out) LIMIT :at_most
                   ) l) AS left_out
            """  # noqa: S608 (constants)
        ),
        used | {"statuses": filters["statuses"], "left_out": list(left_out), "at_most": at_most},
    ).one()
    return row.taken, row.left_out


def revisions(tx: Tx, inbox_id: int) -> list[Any]:
    """All revisions of an event, oldest first; none if nobody edited it."""
    return list(
        tx.execute(
            text(
                """
                SELECT revision, type, occurred_at, data, raw, content_hash, actor_kind, actor_id, reason,
                       created_at
                FROM inbox_revisions WHERE inbox_id = :id ORDER BY revision
                """
            ),
            {"id": inbox_id},
        )
    )


def known_revisions(tx: Tx, ids: Iterable[int]) -> set[tuple[int, bytes]]:
    """(inbox id, content hash) of every revision of some events."""
    rows = tx.execute(
        text("SELECT inbox_id, content_hash FROM inbox_revisions WHERE inbox_id = ANY(:ids)"),
        {"ids": sorted(set(ids))},
    )
    return {(row.inbox_id, bytes(row.content_hash)) for row in rows}


def keep_first_revision(tx: Tx, inbox_id: int) -> None:
    """Keep what the producer sent as revision 1, unless it is kept already."""
    tx.execute(
        text(
            """
            INSERT INTO inbox_revisions (inbox_id, revision, type, occurred_at, content_hash, data, raw)
            SELECT id, 1, type, occurred_at, content_hash, data, raw FROM inbox_events WHERE id = :id
            ON CONFLICT (inbox_id, revision) DO NOTHING
            """
        ),
        {"id": inbox_id},
    )


def add_revision(
    tx: Tx,
    inbox_id: int,
    *,
    type: str,
    occurred_at: datetime,
    content_hash: bytes,
    data: str,
    actor_kind: str,
    actor_id: str,
    reason: str,
) -> int:
    """Add a revision and make it the content of the locked event; returns its number."""
    values = {
        "id": inbox_id,
        "type": type,
        "occurred_at": occurred_at,
        "content_hash": content_hash,
        "data": data,
    }
    revision: int = tx.execute(
        text(
            """
            INSERT INTO inbox_revisions (inbox_id, revision, type, occurred_at, content_hash, data,
                                         actor_kind, actor_id, reason)
            SELECT :id, max(revision) + 1, :type, :occurred_at, :content_hash, CAST(:data AS jsonb),
                   :actor_kind, :actor_id, :reason
            FROM inbox_revisions WHERE inbox_id = :id
            RETURNING revision
            """
        ),
        values | {"actor_kind": actor_kind, "actor_id": actor_id, "reason": reason},
    ).scalar_one()
    tx.execute(
        text(
            """
            UPDATE inbox_events SET type = :type, occurred_at = :occurred_at, content_hash = :content_hash,
                   data = CAST(:data AS jsonb), raw = NULL
            WHERE id = :id
            """
        ),
        values,
    )
    return revision
