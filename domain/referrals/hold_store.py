"""All SQL of the holds of trackings: disputes, and what looks like fraud."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx, advisory_lock, copy_rows, correlation_key
from domain.referrals.state import transaction_correlation


def disputes(tx: Tx, tracking_ids: Sequence[int]) -> list[Any]:
    """All disputes of some trackings, decided ones too. The caller holds the transactions' locks."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, tracking_id, kind, ref, inbox_id, held_at, outcome, closed_at
                FROM tracking_holds WHERE tracking_id = ANY(:ids) AND kind = 'dispute'
                """
            ),
            {"ids": list(tracking_ids)},
        )
    )


def open_reasons(tx: Tx, tracking_ids: Sequence[int]) -> dict[int, tuple[datetime, str]]:
    """By tracking, since when and why it is held: its oldest open hold. Absent: nothing holds it."""
    rows = tx.execute(
        text(
            """
            SELECT DISTINCT ON (tracking_id) tracking_id, held_at, kind FROM tracking_holds
            WHERE tracking_id = ANY(:ids) AND outcome IS NULL ORDER BY tracking_id, held_at, id
            """
        ),
        {"ids": list(tracking_ids)},
    )
    return {row.tracking_id: (row.held_at, row.kind) for row in rows}


def insert(tx: Tx, rows: Sequence[Sequence[Any]]) -> None:
    """Append holds (HOLD_COLUMNS)."""
    copy_rows(tx, "tracking_holds", HOLD_COLUMNS, rows)


HOLD_COLUMNS = [
    "merchant_id",
    "tracking_id",
    "inbox_id",
    "kind",
    "ref",
    "evidence",
    "held_at",
    "outcome",
    "closed_at",
]


def close(tx: Tx, rows: Sequence[tuple[int, str, datetime]]) -> None:
    """End open holds: (id, outcome, when)."""
    ids, outcomes, times = (list(column) for column in zip(*rows, strict=True))
    tx.execute(
        text(
            """
            UPDATE tracking_holds h SET outcome = k.outcome, closed_at = k.at
            FROM unnest(CAST(:ids AS bigint[]), CAST(:outcomes AS text[]), CAST(:times AS timestamptz[]))
                 AS k (id, outcome, at)
            WHERE h.id = k.id
            """
        ),
        {"ids": ids, "outcomes": outcomes, "times": times},
    )


def lock_correlation(
    tx: Tx, merchant_id: int, tracking_id: int, transaction_id: str | None
) -> None:
    """Keep out the events of a tracking's transaction, and other operators."""
    lock_correlations(tx, merchant_id, [(tracking_id, transaction_id)])


def lock_correlations(
    tx: Tx, merchant_id: int, trackings: Sequence[tuple[int, str | None]]
) -> None:
    """As ``lock_correlation``, of several trackings (id, transaction) at once."""
    advisory_lock(
        tx, [correlation_key(merchant_id, _correlation(id, name)) for id, name in trackings]
    )


def _correlation(tracking_id: int, transaction_id: str | None) -> str:
    if transaction_id is None:
        return f"tracking:{tracking_id}"
    return transaction_correlation(transaction_id)


def between(
    tx: Tx, merchant_id: int, user: str, others: Sequence[str], *, after: int, limit: int
) -> list[Any]:
    """Trackings above ``after`` of which one side is ``user`` and the other one of ``others``, ascending.

    Those of programs whose policy looks at destinations, where that has not held them before; not what was
    rejected, nor what was paid before it came here.
    """
    return list(
        tx.execute(
            text(
                """
                SELECT t.id, t.inbox_id, t.transaction_id, t.referrer_user_id, t.referred_user_id
                FROM trackings t
                CROSS JOIN LATERAL (
                    SELECT h.shared_destination FROM hold_policies h
                    WHERE h.merchant_id = t.merchant_id AND (h.program_id = t.program_id OR h.program_id IS NULL)
                    ORDER BY h.program_id NULLS LAST LIMIT 1
                ) policy
                WHERE t.merchant_id = :merchant_id AND t.id > :after AND policy.shared_destination
                      AND NOT t.rejected AND NOT t.explanation ? 'paid_before'
                      AND ((t.referred_user_id = :user AND t.referrer_user_id = ANY(:others))
                           OR (t.referred_user_id = ANY(:others) AND t.referrer_user_id = :user))
                      AND NOT EXISTS (SELECT FROM tracking_holds k
                                      WHERE k.tracking_id = t.id AND k.kind = 'shared_destination')
                ORDER BY t.id LIMIT :limit
                """
            ),
            {
                "merchant_id": merchant_id,
                "user": user,
                "others": list(others),
                "after": after,
                "limit": limit,
            },
        )
    )


def held_for(tx: Tx, tracking_ids: Sequence[int], kind: str) -> set[int]:
    """Those of some trackings that were held for a reason, whatever became of it."""
    rows = tx.execute(
        text(
            "SELECT tracking_id FROM tracking_holds WHERE tracking_id = ANY(:ids) AND kind = :kind"
        ),
        {"ids": list(tracking_ids), "kind": kind},
    )
    return {row.tracking_id for row in rows}


def find(tx: Tx, merchant_id: int, hold_id: int) -> Any:
    """A hold with its tracking, or None."""
    return tx.execute(
        text(f"{_LISTED} WHERE h.merchant_id = :merchant_id AND h.id = :id"),
        {"merchant_id": merchant_id, "id": hold_id},
    ).one_or_none()


def page(
    tx: Tx, merchant_id: int, *, closed: bool, kind: str | None, before: int | None, limit: int
) -> list[Any]:
    """A merchant's holds, newest first, below the number ``before``: the open ones, or those that ended."""
    which = "IS NOT NULL" if closed else "IS NULL"
    return list(
        tx.execute(
            text(
                f"""
                {_LISTED}
                WHERE h.merchant_id = :merchant_id AND h.outcome {which}
                      AND (CAST(:kind AS text) IS NULL OR h.kind = :kind)
                      AND (CAST(:before AS bigint) IS NULL OR h.id < :before)
                ORDER BY h.id DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "kind": kind, "before": before, "limit": limit},
        )
    )


_LISTED = """
    SELECT h.id, h.tracking_id, h.kind, h.ref, h.evidence, h.held_at, h.outcome, h.closed_at, h.closed_by,
           h.close_reason, t.transaction_id, t.referrer_user_id, t.referred_user_id, t.amount_earned,
           t.referee_amount_earned, t.reversed_amount, t.currency, c.code, p.key AS program
    FROM tracking_holds h
    JOIN trackings t ON t.id = h.tracking_id
    JOIN codes c ON c.id = t.code_id
    JOIN programs p ON p.id = t.program_id
"""


def held_money(tx: Tx, at_most: int) -> dict[str, int]:
    """By currency, what trackings earn that something holds, summed over ``at_most`` open holds of all merchants."""
    rows = tx.execute(
        text(
            """
            SELECT t.currency, sum(t.amount_earned)::bigint AS amount
            FROM (SELECT DISTINCT tracking_id FROM (
                      SELECT tracking_id FROM tracking_holds WHERE outcome IS NULL LIMIT :at_most) h) held
            JOIN trackings t ON t.id = held.tracking_id GROUP BY 1
            """
        ),
        {"at_most": at_most},
    )
    return {row.currency: row.amount for row in rows}


def count_to_decide(tx: Tx, at_most: int) -> int:
    """How many open holds there are that a person decides, counted up to ``at_most``."""
    number: int = tx.execute(
        text(
            """
            SELECT count(*) FROM (SELECT FROM tracking_holds
                                  WHERE outcome IS NULL AND kind <> 'dispute' LIMIT :at_most) h
            """
        ),
        {"at_most": at_most},
    ).scalar_one()
    return number


def decide(tx: Tx, ids: Sequence[int], outcome: str, *, at: datetime, by: str, reason: str) -> None:
    """End open holds by a person's word."""
    tx.execute(
        text(
            """
            UPDATE tracking_holds SET outcome = :outcome, closed_at = :at, closed_by = :by,
                   close_reason = :reason
            WHERE id = ANY(:ids) AND outcome IS NULL
            """
        ),
        {"ids": list(ids), "outcome": outcome, "at": at, "by": by, "reason": reason},
    )


def suspicions(tx: Tx, tracking_id: int) -> list[int]:
    """The open holds of a tracking that a person decides."""
    rows = tx.execute(
        text(
            """
            SELECT id FROM tracking_holds
            WHERE tracking_id = :tracking_id AND outcome IS NULL AND kind <> 'dispute' ORDER BY id
            """
        ),
        {"tracking_id": tracking_id},
    )
    return [row.id for row in rows]
