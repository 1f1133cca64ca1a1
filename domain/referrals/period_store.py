"""SQL of a referrer's counts by period. The referrers' states are locked by the caller."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def load(tx: Tx, keys: Collection[tuple[int, str, datetime, datetime, int]]) -> list[Any]:
    """Counts of (referrer's state, period, start, end, version), made where they are missing.

    What no version kept is counted from the trackings, by when they converted.
    """
    states, periods, starts, ends, versions = (list(c) for c in zip(*sorted(keys), strict=True))
    parameters = {
        "states": states,
        "periods": periods,
        "starts": starts,
        "ends": ends,
        "versions": versions,
    }
    tx.execute(text(_ADD), parameters)
    rows = list(tx.execute(text(_LOAD), parameters))
    if any(row.counted_version < row.wanted_version for row in rows):
        tx.execute(text(_COUNT), parameters)
        rows = list(tx.execute(text(_LOAD), parameters))
    return rows


_KEYS = """
    unnest(CAST(:states AS bigint[]), CAST(:periods AS text[]), CAST(:starts AS timestamptz[]),
           CAST(:ends AS timestamptz[]), CAST(:versions AS int[]))
        AS k (state_id, period, starts_at, ends_at, wanted_version)
"""
_ADD = f"""
    INSERT INTO referrer_periods (state_id, period, starts_at)
    SELECT state_id, period, starts_at FROM {_KEYS}
    WHERE NOT EXISTS (SELECT FROM referrer_periods p
                      WHERE (p.state_id, p.period, p.starts_at) = (k.state_id, k.period, k.starts_at))
    ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING
"""  # noqa: S608 - no value is spliced in
_LOAD = f"""
    SELECT p.state_id, p.period, p.starts_at, p.conversions, p.volume, p.counted_version, k.wanted_version
    FROM {_KEYS} JOIN referrer_periods p USING (state_id, period, starts_at)
"""  # noqa: S608 - no value is spliced in
_COUNT = f"""
    UPDATE referrer_periods p
    SET conversions = c.conversions, volume = c.volume, counted_version = k.wanted_version
    FROM {_KEYS}
    JOIN referrer_states s ON s.id = k.state_id
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE NOT (t.fully_refunded OR t.dispute_lost OR t.rejected)) AS conversions,
               coalesce(sum(t.transaction_amount - t.refunded_amount)
                        FILTER (WHERE NOT (t.dispute_lost OR t.rejected)), 0) AS volume
        FROM trackings t
        WHERE t.merchant_id = s.merchant_id AND t.referrer_user_id = s.user_id
          AND t.program_id = s.program_id AND t.converted_at >= k.starts_at AND t.converted_at < k.ends_at
    ) c
    WHERE (p.state_id, p.period, p.starts_at) = (k.state_id, k.period, k.starts_at)
      AND p.counted_version < k.wanted_version
"""  # noqa: S608 - no value is spliced in


def update(tx: Tx, rows: Sequence[tuple[int, str, datetime, int, int]]) -> None:
    """Write (referrer's state, period, start, conversions, volume) back."""
    states, periods, starts, conversions, volumes = (list(c) for c in zip(*rows, strict=True))
    tx.execute(
        text(
            """
            UPDATE referrer_periods p SET conversions = k.conversions, volume = k.volume
            FROM unnest(CAST(:states AS bigint[]), CAST(:periods AS text[]), CAST(:starts AS timestamptz[]),
                        CAST(:conversions AS bigint[]), CAST(:volumes AS bigint[]))
                 AS k (state_id, period, starts_at, conversions, volume)
            WHERE (p.state_id, p.period, p.starts_at) = (k.state_id, k.period, k.starts_at)
            """
        ),
        {
            "states": states,
            "periods": periods,
            "starts": starts,
            "conversions": conversions,
            "volumes": volumes,
        },
    )
