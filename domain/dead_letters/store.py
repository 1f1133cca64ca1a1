"""All SQL of the dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import text

from domain.db import Tx

_SHOWN = """id, queue, redis_message_id, actor, args, raw_bytes, raw IS NOT NULL AS raw_kept, reason,
            trace, attempts, deaths, died_at, state, decided_by, decided_at, retried_as, pruned_at, created_at"""


def upsert(tx: Tx, **letter: Any) -> None:
    """Add a letter. One that is still open takes what is known now; a decided one stays as it is."""
    tx.execute(
        text(
            """
            INSERT INTO dead_letters AS d (queue, redis_message_id, actor, args, raw, raw_bytes, reason,
                                           trace, attempts, deaths, died_at)
            VALUES (:queue, :redis_message_id, :actor, :args, :raw, :raw_bytes, :reason,
                    :trace, :attempts, :deaths,
                    coalesce(CAST(:died_at AS timestamptz), clock_timestamp()))
            ON CONFLICT (queue, redis_message_id) DO UPDATE SET
                reason = excluded.reason, trace = excluded.trace,
                attempts = greatest(d.attempts, excluded.attempts),
                deaths = greatest(d.deaths, excluded.deaths)
            WHERE d.state = 'open'
            """
        ),
        letter,
    )


def known(tx: Tx, queue: str, ids: Sequence[str]) -> list[Any]:
    """Which of these Redis ids are here: (redis_message_id, state, raw_kept)."""
    return list(
        tx.execute(
            text(
                """
                SELECT redis_message_id, state, raw IS NOT NULL AS raw_kept FROM dead_letters
                WHERE queue = :queue AND redis_message_id = ANY(CAST(:ids AS text[]))
                """
            ),
            {"queue": queue, "ids": list(ids)},
        )
    )


def listing(tx: Tx, *, queue: str | None, state: str | None, limit: int) -> list[Any]:
    """Letters, newest first; ``queue`` and ``state`` narrow them."""
    return list(
        tx.execute(
            text(
                f"""
                SELECT {_SHOWN} FROM dead_letters
                WHERE (CAST(:queue AS text) IS NULL OR queue = :queue)
                  AND (CAST(:state AS text) IS NULL OR state = :state)
                ORDER BY id DESC LIMIT :limit
                """  # noqa: S608 - a constant of this module
            ),
            {"queue": queue, "state": state, "limit": limit},
        )
    )


def find(tx: Tx, letter_id: int) -> Any | None:
    """One letter without its message."""
    return tx.execute(
        text(f"SELECT {_SHOWN} FROM dead_letters WHERE id = :id"),  # noqa: S608 - as above
        {"id": letter_id},
    ).one_or_none()


def lock(tx: Tx, ids: Sequence[int]) -> list[Any]:
    """Letters with their messages, by id, locked: two people decide one after the other."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, queue, redis_message_id, raw, state, decided_by FROM dead_letters
                WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE
                """
            ),
            {"ids": list(ids)},
        )
    )


def decide(tx: Tx, state: str, by: str, decided: Mapping[int, str | None]) -> None:
    """Close letters: by their ids, under which new Redis ids they were put back."""
    tx.execute(
        text(
            """
            UPDATE dead_letters d SET state = :state, decided_by = :by, retried_as = s.retried_as,
                                      decided_at = clock_timestamp()
            FROM unnest(CAST(:ids AS bigint[]), CAST(:fresh AS text[])) AS s (id, retried_as)
            WHERE d.id = s.id AND d.state = 'open'
            """
        ),
        {"ids": list(decided), "fresh": list(decided.values()), "state": state, "by": by},
    )


def open_counts(tx: Tx, at_most: int) -> dict[str, int]:
    """How many letters of each queue wait for a decision; at most ``at_most`` in all are counted."""
    rows = tx.execute(
        text(
            """
            SELECT queue, count(*) AS letters
            FROM (SELECT queue FROM dead_letters WHERE state = 'open' LIMIT :at_most) open
            GROUP BY queue
            """
        ),
        {"at_most": at_most},
    )
    return {row.queue: row.letters for row in rows}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters: None does not narrow. ``text`` is somewhere in their arguments, reason or Redis id."""

    queue: str | None = None
    actor: str | None = None
    text: str | None = None


def _where(wanted: Filter) -> tuple[str, dict[str, Any]]:
    clauses = {
        "queue": "queue = :queue",
        "actor": "actor = :actor",
        "text": "(strpos(args, :text) > 0 OR strpos(reason, :text) > 0 OR redis_message_id = :text)",
    }
    used = {name: value for name, value in asdict(wanted).items() if value is not None}
    return "".join(f" AND {clauses[name]}" for name in used), used


def search(
    tx: Tx, wanted: Filter, *, state: str | None, before: int | None, limit: int
) -> list[Any]:
    """Letters that match with an id below ``before``, newest first."""
    where, used = _where(wanted)
    return list(
        tx.execute(
            text(
                f"""
                SELECT {_SHOWN} FROM dead_letters
                WHERE (CAST(:state AS text) IS NULL OR state = :state)
                  AND (CAST(:before AS bigint) IS NULL OR id < :before) {where}
                ORDER BY id DESC LIMIT :limit
                """  # noqa: S608 - constants of this module
            ),
            used | {"state": state, "before": before, "limit": limit},
        )
    )


def naming(tx: Tx, what: str) -> list[Any]:
    """Letters whose arguments or message contain a text: id, args, raw; locked."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, args, raw FROM dead_letters
                WHERE position(:what IN args) > 0 OR position(convert_to(:what, 'UTF8') IN raw) > 0
                ORDER BY id FOR NO KEY UPDATE
                """
            ),
            {"what": what},
        )
    )


def matching(tx: Tx, wanted: Filter, *, before: int, limit: int) -> list[Any]:
    """(id, raw_bytes) of open letters that match below ``before``, newest first."""
    where, used = _where(wanted)
    found = tx.execute(
        text(
            f"""
            SELECT id, raw_bytes FROM dead_letters WHERE state = 'open' AND id < :before {where}
            ORDER BY id DESC LIMIT :limit
            """  # noqa: S608 - as above
        ),
        used | {"before": before, "limit": limit},
    )
    return list(found)


def sizes(tx: Tx, ids: Sequence[int]) -> list[Any]:
    """(id, raw_bytes) of those of ``ids`` that are there, newest first."""
    return list(
        tx.execute(
            text(
                "SELECT id, raw_bytes FROM dead_letters WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id DESC"
            ),
            {"ids": list(ids)},
        )
    )


def count_matching(tx: Tx, wanted: Filter, at_most: int) -> tuple[int, int]:
    """How many open letters match, counted up to ``at_most``, and the newest of them (0: none)."""
    where, used = _where(wanted)
    row = tx.execute(
        text(
            f"""
            SELECT count(*) AS letters, coalesce(max(id), 0) AS newest
            FROM (SELECT id FROM dead_letters WHERE state = 'open' {where}
                  ORDER BY id DESC LIMIT :at_most) open
            """  # noqa: S608 - as above
        ),
        used | {"at_most": at_most},
    ).one()
    return row.letters, row.newest


def replace(tx: Tx, letter_id: int, args: str | None, raw: bytes | None) -> None:
    """Keep other arguments and another message of a letter."""
    tx.execute(
        text("UPDATE dead_letters SET args = :args, raw = :raw WHERE id = :id"),
        {"id": letter_id, "args": args, "raw": raw},
    )
