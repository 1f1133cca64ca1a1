"""All SQL of the dead letters."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx

_SHOWN = """id, queue, redis_message_id, actor, args, raw_bytes, raw IS NOT NULL AS raw_kept, reason,
            trace, attempts, deaths, died_at, state, decided_by, decided_at, retried_as, created_at"""


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


def lock(tx: Tx, letter_id: int) -> Any | None:
    """One letter with its message, locked: two people decide one after the other."""
    return tx.execute(
        text(
            """
            SELECT id, queue, redis_message_id, raw, state, decided_by FROM dead_letters
            WHERE id = :id FOR UPDATE
            """
        ),
        {"id": letter_id},
    ).one_or_none()


def decide(tx: Tx, letter_id: int, state: str, by: str, retried_as: str | None) -> None:
    """Close a letter."""
    tx.execute(
        text(
            """
            UPDATE dead_letters SET state = :state, decided_by = :by, retried_as = :retried_as,
                                    decided_at = clock_timestamp()
            WHERE id = :id AND state = 'open'
            """
        ),
        {"id": letter_id, "state": state, "by": by, "retried_as": retried_as},
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
