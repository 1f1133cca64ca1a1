"""All SQL of schedules and their fires."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def upsert(tx: Tx, **schedule: Any) -> None:
    """Add a schedule, or bring its timing and arguments up to date; a pause stays."""
    schedule["args"] = json.dumps(schedule["args"])
    tx.execute(
        text(
            """
            INSERT INTO schedules AS s (name, merchant_id, queue, actor, args, cron, zone, every_seconds,
                                        catch_up, next_fire_at)
            VALUES (:name, :merchant_id, :queue, :actor, CAST(:args AS jsonb), :cron, :zone, :every_seconds,
                    :catch_up, :next_fire_at)
            ON CONFLICT (name) DO UPDATE SET
                queue = excluded.queue, actor = excluded.actor, args = excluded.args,
                catch_up = excluded.catch_up, cron = excluded.cron, zone = excluded.zone,
                every_seconds = excluded.every_seconds,
                next_fire_at = CASE
                    WHEN (s.cron, s.zone, s.every_seconds)
                         IS DISTINCT FROM (excluded.cron, excluded.zone, excluded.every_seconds)
                    THEN excluded.next_fire_at ELSE s.next_fire_at END
            """
        ),
        schedule,
    )


def lock_due(tx: Tx, business_now: datetime, limit: int) -> list[Any]:
    """Due schedules that no other scheduler holds: cron by business time, intervals by the real clock."""
    return list(
        tx.execute(
            text(
                """
                SELECT name, merchant_id, queue, actor, args, cron, zone, every_seconds, catch_up,
                       next_fire_at, clock_timestamp() AS real_now
                FROM schedules
                WHERE paused_at IS NULL
                  AND next_fire_at <= CASE WHEN cron IS NULL THEN clock_timestamp()
                                           ELSE CAST(:business_now AS timestamptz) END
                ORDER BY next_fire_at, name LIMIT :limit FOR UPDATE SKIP LOCKED
                """
            ),
            {"business_now": business_now, "limit": limit},
        )
    )


def advance(tx: Tx, name: str, next_fire_at: datetime) -> None:
    """Move a schedule to its next fire."""
    tx.execute(
        text(
            "UPDATE schedules SET next_fire_at = :next_fire_at, last_tick_at = clock_timestamp() WHERE name = :name"
        ),
        {"name": name, "next_fire_at": next_fire_at},
    )


def insert_fire(tx: Tx, name: str, fire_at: datetime, *, manual: bool = False) -> bool:
    """Record a fire; False if it was already made, here or elsewhere."""
    made = tx.execute(
        text(
            """
            INSERT INTO schedule_fires (name, fire_at, manual, emitted_at)
            VALUES (:name, :fire_at, :manual, clock_timestamp()) ON CONFLICT DO NOTHING
            """
        ),
        {"name": name, "fire_at": fire_at, "manual": manual},
    )
    return made.rowcount == 1


def lock_fire(tx: Tx, name: str, fire_at: datetime) -> Any:
    """A fire with its state, locked; None if there is none."""
    return tx.execute(
        text("SELECT * FROM schedule_fires WHERE name = :name AND fire_at = :fire_at FOR UPDATE"),
        {"name": name, "fire_at": fire_at},
    ).one_or_none()


def update_fire(
    tx: Tx, name: str, fire_at: datetime, state: str, progress: Mapping[str, Any], error: str | None
) -> None:
    """Set a fire's state, and merge ``progress`` into what it keeps."""
    tx.execute(
        text(
            """
            UPDATE schedule_fires
            SET state = CAST(:state AS text), error = :error,
                progress = progress || CAST(:progress AS jsonb),
                started_at = coalesce(started_at, clock_timestamp()),
                finished_at = CASE WHEN :state IN ('done', 'failed') THEN clock_timestamp() END
            WHERE name = :name AND fire_at = :fire_at
            """
        ),
        {
            "name": name,
            "fire_at": fire_at,
            "state": state,
            "progress": json.dumps(progress, default=str),
            "error": error,
        },
    )


def reopen_fire(tx: Tx, name: str, fire_at: datetime) -> None:
    """Let a failed fire be taken up; its next emission is due after the first back-off."""
    tx.execute(
        text(
            """
            UPDATE schedule_fires SET state = 'emitted', error = NULL, finished_at = NULL,
                   emitted_at = clock_timestamp(), emit_count = 1
            WHERE name = :name AND fire_at = :fire_at AND state = 'failed'
            """
        ),
        {"name": name, "fire_at": fire_at},
    )


def take_stale_fires(
    tx: Tx, older_than_seconds: float, limit: int, paused: Collection[str]
) -> list[Any]:
    """Open fires whose message is older than the back-off (doubling with each emission, at most 1 h)."""
    return list(
        tx.execute(
            text(
                """
                UPDATE schedule_fires f SET emitted_at = clock_timestamp(), emit_count = emit_count + 1
                FROM (
                    SELECT f.name, f.fire_at FROM schedule_fires f JOIN schedules USING (name)
                    WHERE f.state IN ('emitted', 'running')
                      AND queue <> ALL (CAST(:paused AS text[]))
                      AND emitted_at < clock_timestamp() - least(
                          interval '1 hour', :seconds * interval '1 second' * power(2, least(emit_count - 1, 10)))
                    ORDER BY f.name, f.fire_at LIMIT :limit FOR UPDATE OF f SKIP LOCKED
                ) due, schedules s
                WHERE f.name = due.name AND f.fire_at = due.fire_at AND s.name = f.name
                RETURNING f.name, f.fire_at, s.queue, s.actor, s.args, s.merchant_id
                """
            ),
            {"seconds": older_than_seconds, "limit": limit, "paused": list(paused)},
        )
    )


def prune_fires(tx: Tx, keep_seconds: int) -> int:
    """Remove finished fires of interval schedules that are older than ``keep_seconds``."""
    return tx.execute(
        text(
            """
            DELETE FROM schedule_fires f USING schedules s
            WHERE s.name = f.name AND s.every_seconds IS NOT NULL AND f.finished_at IS NOT NULL
              AND f.fire_at < clock_timestamp() - :keep * interval '1 second'
            """
        ),
        {"keep": keep_seconds},
    ).rowcount


def listing(tx: Tx, name: str | None = None) -> list[Any]:
    """All schedules with their last fire, by name; or the one of that name."""
    return list(
        tx.execute(
            text(
                """
                SELECT s.*, f.fire_at AS last_fire_at, f.state AS last_state, f.error AS last_error,
                       f.finished_at - f.started_at AS last_duration
                FROM schedules s
                LEFT JOIN LATERAL (SELECT * FROM schedule_fires WHERE name = s.name
                                   ORDER BY fire_at DESC LIMIT 1) f ON true
                WHERE CAST(:name AS text) IS NULL OR s.name = :name
                ORDER BY s.name
                """
            ),
            {"name": name},
        )
    )


def find(tx: Tx, name: str) -> Any:
    """A schedule by name, or None."""
    return tx.execute(
        text("SELECT * FROM schedules WHERE name = :name"), {"name": name}
    ).one_or_none()


def set_paused(tx: Tx, name: str, *, by: str | None, reason: str | None) -> bool:
    """Pause (``by`` given) or resume a schedule; False if there is none of that name."""
    return (
        tx.execute(
            text(
                """
                UPDATE schedules SET paused_by = CAST(:by AS text), pause_reason = :reason,
                       paused_at = CASE WHEN CAST(:by AS text) IS NULL THEN NULL ELSE clock_timestamp() END
                WHERE name = :name
                """
            ),
            {"name": name, "by": by, "reason": reason},
        ).rowcount
        == 1
    )


def open_fires(tx: Tx, *, business_only: bool) -> int:
    """Fires that are not finished."""
    count: int = tx.execute(
        text(
            """
            SELECT count(*) FROM schedule_fires f JOIN schedules s USING (name)
            WHERE f.state IN ('emitted', 'running') AND (NOT :business_only OR s.cron IS NOT NULL)
            """
        ),
        {"business_only": business_only},
    ).scalar_one()
    return count


def lags(tx: Tx, business_now: datetime) -> list[Any]:
    """For each actor of schedules: how late its latest one is, and how long its longest fire runs.

    (actor, late_seconds, running_seconds, open_fires). Late is a fire that is due and not made, by the
    schedule's clock, or made and not begun, by the real one. Paused schedules are not late.
    """
    return list(tx.execute(_LAGS, {"business_now": business_now}))


_LAGS = text(
    """
    SELECT s.actor,
           coalesce(max(greatest(0, f.unbegun, CASE WHEN s.paused_at IS NULL THEN extract(epoch FROM
               CASE WHEN s.cron IS NULL THEN clock_timestamp() ELSE CAST(:business_now AS timestamptz) END
               - s.next_fire_at) END)), 0)::float8 AS late_seconds,
           coalesce(max(f.running), 0)::float8 AS running_seconds,
           coalesce(sum(f.open_fires), 0)::bigint AS open_fires
    FROM schedules s
    LEFT JOIN (
        SELECT name, count(*) AS open_fires,
               max(extract(epoch FROM clock_timestamp() - created_at))
                   FILTER (WHERE state = 'emitted') AS unbegun,
               max(extract(epoch FROM clock_timestamp() - started_at))
                   FILTER (WHERE state = 'running') AS running
        FROM schedule_fires WHERE state IN ('emitted', 'running') GROUP BY name
    ) f USING (name)
    GROUP BY s.actor ORDER BY s.actor
    """
)


def last_done(tx: Tx, name: str) -> Any:
    """The newest finished fire of a schedule, with what it did (``progress``), or None."""
    return tx.execute(
        text(
            """
            SELECT fire_at, finished_at, progress FROM schedule_fires
            WHERE name = :name AND state = 'done' ORDER BY fire_at DESC LIMIT 1
            """
        ),
        {"name": name},
    ).one_or_none()


def clock_row(tx: Tx) -> Any:
    """PostgreSQL's clock as `now`, whether business time is simulated, and the last tick (NULLs if none)."""
    return tx.execute(
        text(
            """
            SELECT clock_timestamp() AS now, g.*,
                   (SELECT simulated_at FROM business_clock WHERE id = 1) IS NOT NULL AS simulated
            FROM (SELECT) one LEFT JOIN scheduler_clock g ON g.id = 1
            """
        )
    ).one()


def keep_tick(tx: Tx, at: datetime, boot: str, elapsed: float) -> None:
    """Remember a tick, for schedulers that start later."""
    tx.execute(
        text(
            """
            INSERT INTO scheduler_clock (id, ticked_at, boot, elapsed_seconds)
            VALUES (1, :at, :boot, :elapsed)
            ON CONFLICT (id) DO UPDATE SET ticked_at = excluded.ticked_at, boot = excluded.boot,
                elapsed_seconds = excluded.elapsed_seconds
            """
        ),
        {"at": at, "boot": boot, "elapsed": elapsed},
    )


def hold_clock(tx: Tx, at: datetime, jump_seconds: float) -> bool:
    """Hold every fire; False if they are held already."""
    held = tx.execute(
        text(
            """
            UPDATE scheduler_clock SET held_at = :at, jump_seconds = :jump
            WHERE id = 1 AND held_at IS NULL
            """
        ),
        {"at": at, "jump": jump_seconds},
    )
    return held.rowcount == 1


def release_clock(tx: Tx) -> Any:
    """End a hold; the hold as it was, or None."""
    return tx.execute(
        text(
            """
            WITH held AS (SELECT held_at, jump_seconds FROM scheduler_clock
                          WHERE id = 1 AND held_at IS NOT NULL FOR NO KEY UPDATE)
            UPDATE scheduler_clock c
            SET held_at = NULL, jump_seconds = NULL, accepted = accepted + 1
            FROM held WHERE c.id = 1
            RETURNING held.held_at, held.jump_seconds
            """
        )
    ).one_or_none()


def fires(tx: Tx, name: str, limit: int) -> list[Any]:
    """The newest fires of a schedule."""
    return list(
        tx.execute(
            text(
                """
                SELECT fire_at, state, manual, emit_count, started_at, finished_at, progress, error
                FROM schedule_fires WHERE name = :name ORDER BY fire_at DESC LIMIT :limit
                """
            ),
            {"name": name, "limit": limit},
        )
    )
