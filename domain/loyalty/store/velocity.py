"""All SQL of velocity: policies, counts, and cases."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text

from domain.db import Tx


class Window(NamedTuple):
    """What is counted for a subject of a policy in a window."""

    policy_id: int
    per: str
    subject: str
    what: str
    minutes: int
    starts_at: datetime


def lock_counts(tx: Tx, windows: Iterable[Window]) -> dict[Window, tuple[int, int]]:
    """What was counted in each window (acts, points); locks them, in key order, until the end."""
    columns = [list(column) for column in zip(*sorted(windows), strict=True)]
    rows = tx.execute(
        text(
            """
            INSERT INTO loyalty_velocity_counts AS v (policy_id, per, subject, what, minutes, starts_at, acts, points)
            SELECT k.policy_id, k.per, k.subject, k.what, k.minutes, k.starts_at, 0, 0
            FROM unnest(CAST(:policy_id AS bigint[]), CAST(:per AS text[]), CAST(:subject AS text[]),
                        CAST(:what AS text[]), CAST(:minutes AS int[]), CAST(:starts_at AS timestamptz[]))
                 WITH ORDINALITY AS k (policy_id, per, subject, what, minutes, starts_at, position)
            ORDER BY position
            ON CONFLICT (policy_id, per, subject, what, minutes, starts_at) DO UPDATE SET acts = v.acts
            RETURNING policy_id, per, subject, what, minutes, starts_at, acts, points
            """
        ),
        dict(zip(Window._fields, columns, strict=True)),
    )
    return {Window(*key): (acts, points) for *key, acts, points in rows}


def add_counts(tx: Tx, added: Mapping[Window, tuple[int, int]]) -> None:
    """Add (acts, points) to windows that ``lock_counts`` locked."""
    columns = [list(column) for column in zip(*added, strict=True)]
    tx.execute(
        text(
            """
            UPDATE loyalty_velocity_counts v SET acts = v.acts + k.acts, points = v.points + k.points
            FROM unnest(CAST(:policy_id AS bigint[]), CAST(:per AS text[]), CAST(:subject AS text[]),
                        CAST(:what AS text[]), CAST(:minutes AS int[]), CAST(:starts_at AS timestamptz[]),
                        CAST(:acts AS bigint[]), CAST(:points AS bigint[]))
                 AS k (policy_id, per, subject, what, minutes, starts_at, acts, points)
            WHERE (v.policy_id, v.per, v.subject, v.what, v.minutes, v.starts_at)
                  = (k.policy_id, k.per, k.subject, k.what, k.minutes, k.starts_at)
            """
        ),
        dict(zip(Window._fields, columns, strict=True))
        | {
            "acts": [acts for acts, _ in added.values()],
            "points": [points for _, points in added.values()],
        },
    )


def forget_counts(tx: Tx, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` windows that began before a time; returns how many. Leaves out those in use."""
    return tx.execute(
        text(
            """
            DELETE FROM loyalty_velocity_counts v USING (
                SELECT ctid FROM loyalty_velocity_counts
                WHERE starts_at < :before ORDER BY starts_at LIMIT :limit FOR UPDATE SKIP LOCKED
            ) k WHERE v.ctid = k.ctid
            """
        ),
        {"before": before, "limit": limit},
    ).rowcount


def add_cases(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Append cases."""
    tx.execute(
        text(
            """
            INSERT INTO loyalty_velocity_cases (merchant_id, program_id, card_id, inbox_id, action, points, evidence,
                                                found_at)
            VALUES (:merchant_id, :program_id, :card_id, :inbox_id, :action, :points, CAST(:evidence AS jsonb),
                    :found_at)
            """
        ),
        [{**row, "evidence": json.dumps(row["evidence"])} for row in rows],
    )


_CASE = """
    SELECT v.id, v.merchant_id, v.card_id, v.inbox_id, v.action, v.points, v.evidence, v.found_at, v.outcome,
           v.closed_at, v.closed_by, v.close_reason, p.key AS program, c.number AS card, i.type, i.source,
           i.event_id, i.occurred_at, i.status, i.reason, i.correlation, m.key AS merchant,
           coalesce(a.store_id, i.data ->> 'store_id') AS store, i.data ->> 'staff_pin_id' AS pin,
           coalesce(a.terminal_device_id, i.data ->> 'terminal_device_id') AS device,
           coalesce(a.ip_address, i.data ->> 'ip_address') AS address
    FROM loyalty_velocity_cases v
    JOIN loyalty_programs p ON p.id = v.program_id
    JOIN cards c ON c.id = v.card_id
    JOIN inbox_events i ON i.id = v.inbox_id
    JOIN merchants m ON m.id = v.merchant_id
    LEFT JOIN till_acts a ON a.inbox_id = v.inbox_id
    WHERE v.merchant_id = :merchant_id
"""


def cases(tx: Tx, merchant_id: int, *, closed: bool, before: int | None, limit: int) -> list[Any]:
    """A merchant's open cases, or those that ended, newest first, with the event of each."""
    ended = "IS NOT NULL" if closed else "IS NULL"
    below = "" if before is None else "AND v.id < :before"
    return list(
        tx.execute(
            text(f"{_CASE} AND v.outcome {ended} {below} ORDER BY v.id DESC LIMIT :limit"),
            {"merchant_id": merchant_id, "limit": limit}
            | ({} if before is None else {"before": before}),
        )
    )


def open_counts(tx: Tx, at_most: int) -> list[Any]:
    """Open cases of all merchants by action, each counted up to ``at_most``, and since when the oldest waits (seconds)."""
    return list(
        tx.execute(
            text(
                """
                SELECT a.action, n.cases, coalesce(extract(epoch FROM clock_timestamp() - o.since), 0)::float AS oldest_seconds
                FROM (VALUES ('flag'), ('hold')) a (action)
                CROSS JOIN LATERAL (
                    SELECT count(*) AS cases FROM (
                        SELECT FROM loyalty_velocity_cases v WHERE v.outcome IS NULL AND v.action = a.action LIMIT :at_most
                    ) counted
                ) n
                LEFT JOIN LATERAL (
                    SELECT v.created_at AS since FROM loyalty_velocity_cases v
                    WHERE v.outcome IS NULL AND v.action = a.action ORDER BY v.created_at LIMIT 1
                ) o ON true
                ORDER BY a.action
                """
            ),
            {"at_most": at_most},
        )
    )


def case(tx: Tx, merchant_id: int, case_id: int, *, lock: bool = False) -> Any | None:
    """A case with its event, or None. ``lock``: until the end."""
    return tx.execute(
        text(f"{_CASE} AND v.id = :id {'FOR NO KEY UPDATE OF v' if lock else ''}"),
        {"merchant_id": merchant_id, "id": case_id},
    ).one_or_none()


def close_case(tx: Tx, case_id: int, outcome: str, *, at: datetime, by: str, reason: str) -> None:
    """End a case that is open, by a person's word."""
    tx.execute(
        text(
            """
            UPDATE loyalty_velocity_cases SET outcome = :outcome, closed_at = :at, closed_by = :by,
                   close_reason = :reason WHERE id = :id
            """
        ),
        {"id": case_id, "outcome": outcome, "at": at, "by": by, "reason": reason},
    )


def capture_of(tx: Tx, inbox_id: int) -> Any | None:
    """The event that captured the hold which ``inbox_id`` placed, or None."""
    return tx.execute(
        text(
            """
            SELECT i.source, i.event_id FROM point_holds h JOIN inbox_events i ON i.id = h.closed_inbox_id
            WHERE h.inbox_id = :inbox_id AND h.status = 'captured'
            """
        ),
        {"inbox_id": inbox_id},
    ).one_or_none()


def put_policy(
    tx: Tx, merchant_id: int, program_id: int | None, limits: Sequence[Mapping[str, Any]]
) -> None:
    """Set a merchant's policy, or a program's own."""
    tx.execute(
        text(
            """
            INSERT INTO loyalty_velocity_policies (merchant_id, program_id, limits)
            VALUES (:merchant_id, :program_id, CAST(:limits AS jsonb))
            ON CONFLICT (merchant_id, program_id)
                DO UPDATE SET limits = excluded.limits, updated_at = statement_timestamp()
            """
        ),
        {"merchant_id": merchant_id, "program_id": program_id, "limits": json.dumps(limits)},
    )


def program_id(tx: Tx, merchant_id: int, key: str) -> int | None:
    """The id of a merchant's program, or None."""
    found: int | None = tx.execute(
        text("SELECT id FROM loyalty_programs WHERE merchant_id = :m AND key = :key"),
        {"m": merchant_id, "key": key},
    ).scalar()
    return found


def listed_policies(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's policies, its own (program None) first, then its programs' by key."""
    return list(
        tx.execute(
            text(
                """
                SELECT p.key AS program, v.limits FROM loyalty_velocity_policies v
                LEFT JOIN loyalty_programs p ON p.id = v.program_id
                WHERE v.merchant_id = :merchant_id ORDER BY p.key NULLS FIRST
                """
            ),
            {"merchant_id": merchant_id},
        )
    )
