"""SQL of shortfalls. A sender locks its payout before the shortfall, so whoever holds a shortfall never
waits for a payout: those that are held are passed by."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

IN_FORCE: Final = (
    "f.ended_at IS NULL AND f.merchant_id = p.merchant_id AND f.method = p.method"
    " AND f.currency = p.currency"
)
"""Condition under which shortfall ``f`` is of payout ``p``."""

_WAITS: Final = (
    "parked_reason = 'balance_insufficient' AND state IN ('approved', 'failed')"
    " AND frozen_reason IS NULL"
)
_WAKE: Final = """
    UPDATE payouts SET look_at = clock_timestamp(), emit_count = 0,
           next_try_at = CASE WHEN next_try_at IS NULL THEN NULL ELSE clock_timestamp() END
    WHERE id IN (SELECT id FROM payouts
                 WHERE merchant_id = :merchant_id AND currency = :currency AND $waits AND $more
                 ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
""".replace("$waits", _WAITS)
_WAKE_ALL: Final = text(_WAKE.replace("$more", "true"))
_WAKE_FITTING: Final = text(_WAKE.replace("$more", "method = :method AND amount <= :amount"))
_OF: Final = text(
    """
    SELECT id, available FROM payout_shortfalls f
    WHERE ended_at IS NULL AND merchant_id = :merchant_id AND method = :method AND currency = :currency
    FOR NO KEY UPDATE
    """
)


def recent_probes(tx: Tx, merchant_id: int, method: str, currency: str, within: timedelta) -> int:
    """How often the balance was asked for in the shortfall that ended last, if that was so lately; else 0."""
    return int(
        tx.execute(
            text(
                """
                SELECT coalesce((
                    SELECT probes FROM payout_shortfalls
                    WHERE merchant_id = :merchant_id AND method = :method AND currency = :currency
                          AND ended_at > clock_timestamp() - CAST(:within AS interval)
                    ORDER BY ended_at DESC LIMIT 1), 0)
                """
            ),
            {
                "merchant_id": merchant_id,
                "method": method,
                "currency": currency,
                "within": within,
            },
        ).scalar_one()
    )


def begin(
    tx: Tx, merchant_id: int, method: str, currency: str, *, probes: int, wait: timedelta
) -> None:
    """The balance was too small: nothing more passes. One that is in force keeps its next probe."""
    tx.execute(
        text(
            """
            INSERT INTO payout_shortfalls (merchant_id, method, currency, probes, probe_at)
            VALUES (:merchant_id, :method, :currency, :probes,
                    clock_timestamp() + CAST(:wait AS interval))
            ON CONFLICT (merchant_id, method, currency) WHERE ended_at IS NULL DO UPDATE SET available = 0
            """
        ),
        {
            "merchant_id": merchant_id,
            "method": method,
            "currency": currency,
            "probes": probes,
            "wait": wait,
        },
    )


def lock(tx: Tx, merchant_id: int, method: str, currency: str) -> Any:
    """The shortfall in force (id, available), locked, or None."""
    return tx.execute(
        _OF, {"merchant_id": merchant_id, "method": method, "currency": currency}
    ).one_or_none()


def allow(tx: Tx, shortfall_id: int, available: int) -> None:
    """Say what may be sent."""
    tx.execute(
        text("UPDATE payout_shortfalls SET available = :available WHERE id = :id"),
        {"id": shortfall_id, "available": available},
    )


def end(tx: Tx, shortfall_id: int) -> None:
    """All may be sent."""
    tx.execute(
        text("UPDATE payout_shortfalls SET ended_at = clock_timestamp() WHERE id = :id"),
        {"id": shortfall_id},
    )


def end_all(tx: Tx, merchant_id: int, currency: str) -> None:
    """End those of a currency, whatever the method."""
    tx.execute(
        text(
            """
            UPDATE payout_shortfalls SET ended_at = clock_timestamp()
            WHERE ended_at IS NULL AND merchant_id = :merchant_id AND currency = :currency
            """
        ),
        {"merchant_id": merchant_id, "currency": currency},
    )


def due(tx: Tx, limit: int) -> list[Any]:
    """Shortfalls whose probe is due, locked; those of another prober are left out."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, merchant_id, method, currency, probes FROM payout_shortfalls
                WHERE ended_at IS NULL AND probe_at <= clock_timestamp()
                ORDER BY probe_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
                """
            ),
            {"limit": limit},
        )
    )


def probe_next(tx: Tx, waits: Sequence[tuple[int, int, timedelta]]) -> None:
    """Note when shortfalls are probed next: (id, probes so far, how long until then)."""
    tx.execute(
        text(
            """
            UPDATE payout_shortfalls f SET probes = w.probes, probe_at = clock_timestamp() + w.wait
            FROM unnest(CAST(:ids AS bigint[]), CAST(:probes AS bigint[]), CAST(:waits AS interval[]))
                 AS w (id, probes, wait)
            WHERE f.id = w.id
            """
        ),
        {
            "ids": [shortfall_id for shortfall_id, _, _ in waits],
            "probes": [probes for _, probes, _ in waits],
            "waits": [wait for _, _, wait in waits],
        },
    )


def waiting(tx: Tx, merchant_id: int, method: str, currency: str) -> Any:
    """(payouts, amount, smallest, on_their_way) of payouts that wait for money; the last is the sum of
    those that are being sent."""
    return tx.execute(
        text(
            """
            SELECT count(*) AS payouts, coalesce(sum(amount), 0) AS amount,
                   coalesce(min(amount), 0) AS smallest,
                   (SELECT coalesce(sum(amount), 0) FROM payouts
                    WHERE merchant_id = :merchant_id AND method = :method AND currency = :currency
                          -- With a second leg, what is transferred is sent from elsewhere.
                          AND state = 'sending' AND external_transaction_id IS NULL) AS on_their_way
            FROM payouts
            WHERE merchant_id = :merchant_id AND method = :method AND currency = :currency AND $waits
            """.replace("$waits", _WAITS)
        ),
        {"merchant_id": merchant_id, "method": method, "currency": currency},
    ).one()


def wake_all(tx: Tx, merchant_id: int, currency: str) -> int:
    """Let the next sweep ask for all that waits for money of a currency; returns how many."""
    return tx.execute(
        _WAKE_ALL, {"merchant_id": merchant_id, "currency": currency, "limit": None}
    ).rowcount


def wake_fitting(
    tx: Tx, merchant_id: int, method: str, currency: str, *, amount: int, limit: int
) -> int:
    """Let the next sweep ask for those of at most ``amount`` each, oldest first; returns how many."""
    return tx.execute(
        _WAKE_FITTING,
        {
            "merchant_id": merchant_id,
            "method": method,
            "currency": currency,
            "amount": amount,
            "limit": limit,
        },
    ).rowcount


def listed(tx: Tx) -> list[Any]:
    """Every shortfall in force, oldest first, with its merchant's key and what waits for money."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.key AS merchant, f.method, f.currency, f.available, f.created_at, f.probes,
                       f.probe_at, count(p.id) AS waiting, coalesce(sum(p.amount), 0)::bigint AS amount
                FROM payout_shortfalls f
                JOIN merchants m ON m.id = f.merchant_id
                LEFT JOIN payouts p ON $in_force AND p.parked_reason = 'balance_insufficient'
                     AND p.state IN ('approved', 'failed')
                WHERE f.ended_at IS NULL GROUP BY f.id, m.key ORDER BY f.id
                """.replace("$in_force", IN_FORCE)
            )
        )
    )
