"""All SQL of the outbox."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.outbox.rules import OUTBOX_CHANNEL, OutboxMessage


def insert(tx: Tx, messages: Sequence[OutboxMessage]) -> None:
    """Append messages; the relay is woken when the transaction commits."""
    tx.execute(
        text(
            """
            INSERT INTO outbox (merchant_id, queue, actor, args, run_at)
            SELECT merchant_id, queue, actor, args, clock_timestamp() + delay * interval '1 second'
            FROM unnest(CAST(:merchants AS bigint[]), CAST(:queues AS text[]), CAST(:actors AS text[]),
                        CAST(CAST(:args AS text[]) AS jsonb[]), CAST(:delays AS float8[]))
                 AS m (merchant_id, queue, actor, args, delay)
            """
        ),
        {
            "merchants": [m.merchant_id for m in messages],
            "queues": [m.queue for m in messages],
            "actors": [m.actor for m in messages],
            "args": [json.dumps(m.args) for m in messages],
            "delays": [m.delay_seconds for m in messages],
        },
    )
    tx.execute(text(f"NOTIFY {OUTBOX_CHANNEL}"))


def take_due(tx: Tx, limit: int) -> list[Any]:
    """Lock up to ``limit`` due rows that no other relay holds, oldest first."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, queue, actor, args FROM outbox WHERE run_at <= clock_timestamp()
                ORDER BY run_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
                """
            ),
            {"limit": limit},
        )
    )


def delete(tx: Tx, ids: Sequence[int]) -> None:
    """Remove rows that were enqueued."""
    tx.execute(text("DELETE FROM outbox WHERE id = ANY(:ids)"), {"ids": list(ids)})


def seconds_to_next(tx: Tx) -> float | None:
    """Seconds until the next row is due (0 if one is), None if the outbox is empty."""
    # Not greatest(0, …) in SQL: it ignores NULL, and an empty outbox would be due now, for ever.
    value: float | None = tx.execute(
        text("SELECT extract(epoch FROM min(run_at) - clock_timestamp())::float8 FROM outbox")
    ).scalar()
    return None if value is None else max(0.0, value)


def depth(tx: Tx) -> int:
    """Rows that wait to be relayed, delayed ones included."""
    count: int = tx.execute(text("SELECT count(*) FROM outbox")).scalar_one()
    return count


def pending(tx: Tx, at_most: int) -> Any:
    """(rows, counted up to ``at_most``, delayed ones included; seconds that the oldest has been due)."""
    return tx.execute(
        text(
            """
            SELECT (SELECT count(*) FROM (SELECT id FROM outbox LIMIT :at_most) counted) AS rows,
                   (SELECT greatest(0, extract(epoch FROM clock_timestamp() - min(run_at)))::float8
                    FROM outbox) AS oldest_due_seconds
            """
        ),
        {"at_most": at_most},
    ).one()


def keep_pause(tx: Tx, queue: str, paused_by: str, reason: str) -> None:
    """Keep that a queue was paused, in the place of what was kept of it."""
    tx.execute(
        text(
            """
            INSERT INTO queue_pauses (queue, paused_by, reason, paused_at)
            VALUES (:queue, :by, :reason, clock_timestamp())
            ON CONFLICT (queue) DO UPDATE SET paused_by = excluded.paused_by,
                reason = excluded.reason, paused_at = excluded.paused_at
            """
        ),
        {"queue": queue, "by": paused_by, "reason": reason},
    )


def end_pause(tx: Tx, queue: str) -> None:
    """Forget that a queue was paused."""
    tx.execute(text("DELETE FROM queue_pauses WHERE queue = :queue"), {"queue": queue})


def hold_pauses(tx: Tx) -> list[Any]:
    """The pauses that are kept (queue, paused_by, reason, paused_at), none of which ends before ``tx``."""
    return list(tx.execute(text("SELECT * FROM queue_pauses ORDER BY queue FOR SHARE")))
