"""All SQL of attributions: who came by whose code, since when, and how often that was rewarded."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def attributed_codes(tx: Tx, keys: Iterable[tuple[int, str]]) -> list[Any]:
    """The codes that (merchant, referred user) came by."""
    merchants, users = map(list, zip(*keys, strict=True))
    return list(
        tx.execute(
            text(
                """
                SELECT a.merchant_id, a.referred_user_id, a.code_id
                FROM unnest(CAST(:merchants AS bigint[]), CAST(:users AS text[])) AS k (merchant_id, user_id)
                JOIN attributions a ON a.merchant_id = k.merchant_id AND a.referred_user_id = k.user_id
                """
            ),
            {"merchants": merchants, "users": users},
        )
    )


def add_attributions(tx: Tx, keys: Iterable[tuple[int, int, str, int, datetime, int]]) -> list[Any]:
    """Remember (merchant, program, referred user, code, since, counted version) where nothing is
    remembered yet; returns (id, merchant_id, program_id, referred_user_id) of what was added."""
    ordered = sorted(keys)
    if not ordered:
        return []
    merchants, programs, users, codes, times, versions = map(list, zip(*ordered, strict=True))
    parameters = {
        "merchants": merchants,
        "programs": programs,
        "users": users,
        "codes": codes,
        "times": times,
        "versions": versions,
    }
    return [*tx.execute(_ADD_ATTRIBUTIONS, parameters).all()]


_ADD_ATTRIBUTIONS = text(
    """
    INSERT INTO attributions (merchant_id, program_id, referred_user_id, code_id, attributed_at,
                              counted_version)
    SELECT k.m, k.p, k.u, k.c, k.t, k.v
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:programs AS bigint[]), CAST(:users AS text[]),
                CAST(:codes AS bigint[]), CAST(:times AS timestamptz[]), CAST(:versions AS int[]))
         WITH ORDINALITY AS k (m, p, u, c, t, v, position)
    ORDER BY position ON CONFLICT DO NOTHING
    RETURNING id, merchant_id, program_id, referred_user_id
    """
)


def attributions(
    tx: Tx, keys: Iterable[tuple[int, int, str]], *, counted: Mapping[int, int]
) -> list[Any]:
    """Attributions by (merchant, program, referred user).

    Those of programs in ``counted`` (id → version) are locked in id order, and counted from the
    trackings where no version kept the counts.
    """
    ordered = sorted(keys)
    if not ordered:
        return []
    merchants, programs, users = map(list, zip(*ordered, strict=True))
    parameters = {
        "merchants": merchants,
        "programs": programs,
        "users": users,
        "counted": list(counted),
    }
    if counted:
        tx.execute(text(_ATTRIBUTIONS_LOCK), parameters)
    rows = [*tx.execute(_ATTRIBUTIONS, parameters).all()]
    stale = [r.id for r in rows if r.counted_version < counted.get(r.program_id, 0)]
    if not stale:
        return rows
    tx.execute(text(_COUNT_REFERRED), {"ids": stale})
    return [*tx.execute(_ATTRIBUTIONS, parameters).all()]


_ATTRIBUTION_KEYS = """
    unnest(CAST(:merchants AS bigint[]), CAST(:programs AS bigint[]), CAST(:users AS text[]))
        AS k (merchant_id, program_id, referred_user_id)
    JOIN attributions a USING (merchant_id, program_id, referred_user_id)
"""
_ATTRIBUTIONS_LOCK = f"""
    SELECT a.id FROM {_ATTRIBUTION_KEYS} WHERE a.program_id = ANY(:counted)
    ORDER BY a.id FOR NO KEY UPDATE OF a
"""  # noqa: S608 - no value is spliced in
_ATTRIBUTIONS = text(f"""
    SELECT a.id, a.merchant_id, a.program_id, a.referred_user_id, a.code_id, a.attributed_at, a.rewarded,
           a.first_rewarded_at, a.counted_version
    FROM {_ATTRIBUTION_KEYS}
""")  # noqa: S608 - no value is spliced in
_COUNT_REFERRED = """
    UPDATE attributions a
    SET rewarded = c.rewarded, first_rewarded_at = c.first_rewarded_at, counted_version = p.version
    FROM attributions r
    JOIN programs p ON p.id = r.program_id
    CROSS JOIN LATERAL (
        -- The first that was accepted; of what was imported, in whatever order, the earliest.
        SELECT count(*) AS rewarded,
               least((array_agg(t.converted_at ORDER BY t.id))[1],
                     min(t.converted_at) FILTER (WHERE t.explanation ->> 'rule' = 'imported'))
                   AS first_rewarded_at
        FROM trackings t
        WHERE t.merchant_id = r.merchant_id AND t.referred_user_id = r.referred_user_id
          AND t.program_id = r.program_id AND NOT t.rejected
          AND (t.amount_earned > 0 OR t.referee_amount_earned > 0)
    ) c
    WHERE a.id = r.id AND r.id = ANY(:ids)
"""


def move_attributions(tx: Tx, rows: Sequence[tuple[int, datetime]]) -> None:
    """Let windows of (id, since) begin earlier, never later: another batch may have heard of an earlier
    time. Locks in id order first: an UPDATE … FROM promises no order."""
    ids, since = map(list, zip(*sorted(rows), strict=True))
    tx.execute(
        text("SELECT id FROM attributions WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"),
        {"ids": ids},
    )
    tx.execute(
        text(
            """
            UPDATE attributions a SET attributed_at = k.since
            FROM unnest(CAST(:ids AS bigint[]), CAST(:since AS timestamptz[])) AS k (id, since)
            WHERE a.id = k.id AND a.attributed_at > k.since
            """
        ),
        {"ids": ids, "since": since},
    )


def count_attributions(tx: Tx, rows: Sequence[tuple[int, int, datetime | None]]) -> None:
    """Write (id, rewarded, first_rewarded_at) of locked attributions back."""
    ids, rewarded, first = map(list, zip(*rows, strict=True))
    tx.execute(
        text(
            """
            UPDATE attributions a SET rewarded = k.rewarded, first_rewarded_at = k.first
            FROM unnest(CAST(:ids AS bigint[]), CAST(:rewarded AS int[]), CAST(:first AS timestamptz[]))
                 AS k (id, rewarded, first)
            WHERE a.id = k.id
            """
        ),
        {"ids": ids, "rewarded": rewarded, "first": first},
    )
