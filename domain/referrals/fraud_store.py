"""SQL of what fraud is suspected by: policies, e-mail hashes, counts of hours and of days."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import text

from domain.db import Tx


class Day(NamedTuple):
    """A day (UTC) of a code or a referrer in a program."""

    program_id: int
    per: str
    subject: str
    day: date


class Reached(NamedTuple):
    """Conversions of an hour, and of its day, after some were added."""

    in_hour: int
    in_day: int


def count(tx: Tx, added: Mapping[tuple[Day, int], int]) -> dict[tuple[Day, int], Reached]:
    """Add conversions to hours of days, in key order; returns what each hour and its day have reached, all of
    ``added`` included. Locks the days until the end.
    """
    hours = dict[Day, list[int]]()
    for day, hour in added:
        hours.setdefault(day, []).append(hour)
    days = sorted(hours)
    in_hours, in_days = dict[tuple[Day, int], int](), dict[Day, int]()
    while days:
        # One hour of each day; most batches have no other.
        now = [(day, hours[day].pop()) for day in days]
        columns = [list(column) for column in zip(*days, strict=True)]
        rows = tx.execute(
            _COUNT,
            dict(zip(Day._fields, columns, strict=True))
            | {"hours": [hour for _, hour in now], "added": [added[key] for key in now]},
        )
        for program_id, per, subject, day_, hour, in_hour, in_day in rows:
            day = Day(program_id, per, subject, day_)
            in_hours[day, hour] = in_hour
            in_days[day] = in_day
        days = [day for day in days if hours[day]]
    return {key: Reached(in_hours[key], in_days[key[0]]) for key in added}


_COUNT = text(
    """
    INSERT INTO velocity_counts AS v (program_id, per, subject, day, conversions, by_hour, last_hour)
    SELECT k.program_id, k.per, k.subject, k.day, k.added,
           array_fill(0, ARRAY[k.hour]) || k.added || array_fill(0, ARRAY[23 - k.hour]), k.hour
    FROM unnest(CAST(:program_id AS bigint[]), CAST(:per AS text[]), CAST(:subject AS text[]),
                CAST(:day AS date[]), CAST(:hours AS int[]), CAST(:added AS int[]))
         WITH ORDINALITY AS k (program_id, per, subject, day, hour, added, position)
    ORDER BY position
    ON CONFLICT (program_id, per, subject, day) DO UPDATE
        SET conversions = v.conversions + excluded.conversions,
            by_hour[excluded.last_hour + 1] = v.by_hour[excluded.last_hour + 1] + excluded.conversions,
            last_hour = excluded.last_hour
    RETURNING program_id, per, subject, day, last_hour, by_hour[last_hour + 1], conversions
    """
)


def forget_counts(tx: Tx, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` days that were over at a time; returns how many. Leaves out those in use."""
    return tx.execute(
        text(
            """
            DELETE FROM velocity_counts v USING (
                SELECT program_id, per, subject, day FROM velocity_counts
                WHERE day < :before ORDER BY day LIMIT :limit FOR UPDATE SKIP LOCKED
            ) k
            WHERE (v.program_id, v.per, v.subject, v.day) = (k.program_id, k.per, k.subject, k.day)
            """
        ),
        {"before": before.astimezone(UTC).date(), "limit": limit},
    ).rowcount


def email_hashes(tx: Tx, users: Collection[tuple[int, str]]) -> dict[tuple[int, str], str]:
    """The e-mail hashes of (merchant, user) that are known."""
    if not users:
        return {}
    merchants, names = (list(column) for column in zip(*sorted(users), strict=True))
    rows = tx.execute(
        text(
            """
            SELECT e.merchant_id, e.user_id, e.hash
            FROM unnest(CAST(:merchants AS bigint[]), CAST(:users AS text[])) AS k (merchant_id, user_id)
            JOIN email_hashes e USING (merchant_id, user_id)
            """
        ),
        {"merchants": merchants, "users": names},
    )
    return {(row.merchant_id, row.user_id): row.hash for row in rows}


def put_email_hashes(tx: Tx, said: Mapping[tuple[int, str], str]) -> None:
    """Keep hashes by (merchant, user), in key order; what is known already is not written."""
    ordered = sorted(said)
    merchants, users = (list(column) for column in zip(*ordered, strict=True))
    tx.execute(
        text(
            """
            INSERT INTO email_hashes AS e (merchant_id, user_id, hash)
            SELECT k.m, k.u, k.h
            FROM unnest(CAST(:merchants AS bigint[]), CAST(:users AS text[]), CAST(:hashes AS text[]))
                 WITH ORDINALITY AS k (m, u, h, position)
            -- A row that a conflict finds is locked, and so written, though nothing of it changes.
            WHERE NOT EXISTS (SELECT FROM email_hashes s
                              WHERE (s.merchant_id, s.user_id, s.hash) = (k.m, k.u, k.h))
            ORDER BY position
            ON CONFLICT (merchant_id, user_id)
                DO UPDATE SET hash = excluded.hash, updated_at = statement_timestamp()
                WHERE e.hash <> excluded.hash
            """
        ),
        {"merchants": merchants, "users": users, "hashes": [said[key] for key in ordered]},
    )


POLICY_COLUMNS = (
    "same_email",
    "shared_destination",
    "code_per_hour",
    "code_per_day",
    "referrer_per_hour",
    "referrer_per_day",
)


def put_policy(tx: Tx, merchant_id: int, program_id: int | None, values: Mapping[str, Any]) -> None:
    """Set a merchant's policy, or a program's own."""
    columns = ", ".join(POLICY_COLUMNS)
    placeholders = ", ".join(f":{name}" for name in POLICY_COLUMNS)
    changes = ", ".join(f"{name} = excluded.{name}" for name in POLICY_COLUMNS)
    tx.execute(
        text(
            f"""
            INSERT INTO hold_policies (merchant_id, program_id, {columns})
            VALUES (:merchant_id, :program_id, {placeholders})
            ON CONFLICT (merchant_id, program_id)
                DO UPDATE SET {changes}, updated_at = statement_timestamp()
            """  # noqa: S608 - columns are constants
        ),
        {"merchant_id": merchant_id, "program_id": program_id} | dict(values),
    )


def policies(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's policies, its own first, then its programs' by key."""
    return list(
        tx.execute(
            text(
                f"""
                SELECT p.key AS program, {", ".join(f"h.{name}" for name in POLICY_COLUMNS)}
                FROM hold_policies h LEFT JOIN programs p ON p.id = h.program_id
                WHERE h.merchant_id = :merchant_id ORDER BY p.key NULLS FIRST
                """  # noqa: S608 - columns are constants
            ),
            {"merchant_id": merchant_id},
        )
    )
