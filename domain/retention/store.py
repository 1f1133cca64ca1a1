"""All SQL of retention. What waits, was refused, or may yet be reversed keeps what it says."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

_PRUNABLE_EVENT: Final = (
    "status = 'applied' AND correlation IS NULL AND (data IS NOT NULL OR raw IS NOT NULL)"
)
_PRUNABLE_LETTER: Final = "state <> 'open' AND pruned_at IS NULL AND decided_at < :cutoff"


def cutoff(tx: Tx, age: timedelta) -> datetime:
    """The real time that was so long ago."""
    at: datetime = tx.execute(
        text("SELECT clock_timestamp() - CAST(:age AS interval)"), {"age": age}
    ).scalar_one()
    return at


def marks(tx: Tx) -> list[Any]:
    """How far each subject is, with the number and bytes of its archives."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.*, (SELECT count(*) FROM retention_archives a WHERE a.subject = m.subject) AS files,
                       (SELECT coalesce(sum(bytes), 0)::bigint FROM retention_archives a
                        WHERE a.subject = m.subject) AS archive_bytes
                FROM retention_marks m ORDER BY m.subject DESC
                """
            )
        )
    )


def mark(tx: Tx, subject: str, *, lock: bool) -> int | None:
    """How far a subject is; None if somebody else is at it."""
    locking = "FOR UPDATE SKIP LOCKED" if lock else ""
    upto: int | None = tx.execute(
        text(f"SELECT upto FROM retention_marks WHERE subject = :subject {locking}"),  # noqa: S608
        {"subject": subject},
    ).scalar()
    return upto


def advance(tx: Tx, subject: str, upto: int, pruned: int) -> None:
    """Keep how far a subject is now."""
    tx.execute(
        text(
            """
            UPDATE retention_marks SET upto = greatest(upto, :upto), pruned = pruned + :pruned
            WHERE subject = :subject
            """
        ),
        {"subject": subject, "upto": upto, "pruned": pruned},
    )


def ran(tx: Tx, subject: str, days: int, archived: bool) -> None:
    """Keep what a run was told."""
    tx.execute(
        text(
            """
            UPDATE retention_marks SET days = :days, archived = :archived, ran_at = clock_timestamp()
            WHERE subject = :subject
            """
        ),
        {"subject": subject, "days": days, "archived": archived},
    )


def old_events(tx: Tx, after: int, cutoff: datetime, limit: int) -> tuple[int, int]:
    """How many of the next ``limit`` events are older than the cut-off, before the first that is not, and the
    id of the last of them (``after``: none)."""
    row = tx.execute(
        text(
            """
            WITH following AS (
                SELECT id, created_at < :cutoff AS old FROM inbox_events
                WHERE id > :after ORDER BY id LIMIT :limit
            )
            SELECT count(*) AS events, coalesce(max(id), :after) AS upto FROM following
            WHERE id < coalesce((SELECT min(id) FROM following WHERE NOT old), 9223372036854775807)
            """
        ),
        {"after": after, "cutoff": cutoff, "limit": limit},
    ).one()
    return row.events, row.upto


def prunable_events(tx: Tx, after: int, upto: int) -> list[Any]:
    """(id, bytes) of events between two ids, the second included, whose words can go."""
    return list(
        tx.execute(
            text(
                f"""
                SELECT id, coalesce(pg_column_size(data), 0) + coalesce(octet_length(raw), 0) AS bytes
                FROM inbox_events WHERE id > :after AND id <= :upto AND {_PRUNABLE_EVENT} ORDER BY id
                """  # noqa: S608 - a constant of this module
            ),
            {"after": after, "upto": upto},
        )
    )


def take_events(tx: Tx, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Events with all that they say, by id, locked; those that others hold are left out."""
    rows = tx.execute(
        text(
            f"""
            SELECT id, merchant_id, source, event_id, type, occurred_at, received_at, content_hash, data, raw
            FROM inbox_events WHERE id = ANY(CAST(:ids AS bigint[])) AND {_PRUNABLE_EVENT}
            ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
            """  # noqa: S608 - as above
        ),
        {"ids": list(ids)},
    )
    return [dict(row._mapping) for row in rows]


def empty_events(tx: Tx, ids: Sequence[int]) -> None:
    """Let go of what events say. Their keys and hashes stay."""
    tx.execute(
        text(
            "UPDATE inbox_events SET data = NULL, raw = NULL WHERE id = ANY(CAST(:ids AS bigint[]))"
        ),
        {"ids": list(ids)},
    )


def prunable_letters(
    tx: Tx, cutoff: datetime, limit: int, *, after: tuple[datetime, int] | None = None
) -> list[Any]:
    """(id, bytes, decided_at) of letters that were decided on before the cut-off, oldest decision first."""
    behind = "" if after is None else "AND (decided_at, id) > (:after_at, :after_id)"
    used = {} if after is None else {"after_at": after[0], "after_id": after[1]}
    return list(
        tx.execute(
            text(
                f"""
                SELECT id, decided_at, coalesce(octet_length(raw), 0) + coalesce(octet_length(args), 0)
                           + coalesce(octet_length(trace), 0) AS bytes
                FROM dead_letters WHERE {_PRUNABLE_LETTER} {behind} ORDER BY decided_at, id LIMIT :limit
                """  # noqa: S608 - as above
            ),
            used | {"cutoff": cutoff, "limit": limit},
        )
    )


def take_letters(tx: Tx, ids: Sequence[int], cutoff: datetime) -> list[dict[str, Any]]:
    """Letters with all that they say, by id, locked; those that others hold are left out."""
    rows = tx.execute(
        text(
            f"""
            SELECT id, queue, redis_message_id, actor, args, raw, reason, trace, attempts, deaths, died_at, state,
                   decided_by, decided_at, retried_as
            FROM dead_letters WHERE id = ANY(CAST(:ids AS bigint[])) AND {_PRUNABLE_LETTER}
            ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
            """  # noqa: S608 - as above
        ),
        {"ids": list(ids), "cutoff": cutoff},
    )
    return [dict(row._mapping) for row in rows]


def empty_letters(tx: Tx, ids: Sequence[int]) -> None:
    """Let go of what letters say. Their ids, reasons and decisions stay."""
    tx.execute(
        text(
            """
            UPDATE dead_letters SET raw = NULL, args = NULL, trace = NULL, pruned_at = clock_timestamp()
            WHERE id = ANY(CAST(:ids AS bigint[]))
            """
        ),
        {"ids": list(ids)},
    )


def keep_archive(tx: Tx, subject: str, first_id: int, last_id: int, archived: Any) -> None:
    """Keep the name and the hash of a file."""
    tx.execute(
        text(
            """
            INSERT INTO retention_archives (subject, file, first_id, last_id, rows, bytes, sha256)
            VALUES (:subject, :file, :first_id, :last_id, :rows, :bytes, :sha256)
            """
        ),
        {
            "subject": subject,
            "file": archived.file,
            "first_id": first_id,
            "last_id": last_id,
            "rows": archived.rows,
            "bytes": archived.bytes,
            "sha256": archived.sha256,
        },
    )


def archives(tx: Tx) -> list[Any]:
    """All files, oldest first."""
    return list(tx.execute(text("SELECT * FROM retention_archives ORDER BY id")))


def archive_of(tx: Tx, subject: str, row_id: int) -> list[str]:
    """The files in which a row may be: by the ids of their first and last."""
    rows = tx.execute(
        text(
            """
            SELECT file FROM retention_archives
            WHERE subject = :subject AND :id BETWEEN first_id AND last_id ORDER BY id
            """
        ),
        {"subject": subject, "id": row_id},
    )
    return list(rows.scalars())
