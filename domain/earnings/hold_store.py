"""SQL of held and voided earnings. The payable accounts are locked by the caller."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.earnings.rules import REJECTION, EarningHold


def accounts(tx: Tx, earning_ids: Sequence[int]) -> list[int]:
    """The payable accounts of some earnings."""
    rows = tx.execute(
        text("SELECT DISTINCT account_id FROM earnings WHERE id = ANY(:ids)"),
        {"ids": list(earning_ids)},
    )
    return [row.account_id for row in rows]


def set_holds(tx: Tx, holds: Sequence[EarningHold]) -> None:
    """Hold earnings, or let them go; what is void stays as it is, and so does what was rejected."""
    ids, times, reasons = (list(column) for column in zip(*holds, strict=True))
    tx.execute(
        text(
            """
            UPDATE earnings e SET held_at = k.held_at, hold_reason = k.reason
            FROM unnest(CAST(:ids AS bigint[]), CAST(:times AS timestamptz[]), CAST(:reasons AS text[]))
                 AS k (id, held_at, reason)
            WHERE e.id = k.id AND e.voided_at IS NULL AND e.hold_reason IS DISTINCT FROM :rejected
            """
        ),
        {"ids": ids, "times": times, "reasons": reasons, "rejected": REJECTION},
    )


def owe_again(tx: Tx, payout_ids: Sequence[int]) -> None:
    """Let go of rejected credits that are about to leave payouts, where another payout took them back meanwhile:
    held for good, they would be lost to the payee. An open dispute holds them on, as the database demands.
    """
    tx.execute(
        text(
            """
            UPDATE earnings e SET held_at = k.held_at, hold_reason = k.kind
            FROM (
                SELECT c.id, h.held_at, h.kind FROM earnings c
                LEFT JOIN LATERAL (
                    SELECT held_at, kind FROM tracking_holds
                    WHERE tracking_id = c.source_id AND outcome IS NULL ORDER BY held_at, id LIMIT 1
                ) h ON c.source_kind = 'tracking'
                WHERE c.payout_id = ANY(:payout_ids) AND c.hold_reason = :rejected
                      AND EXISTS (SELECT FROM earnings d
                                  WHERE d.reverses_id = c.id AND d.payout_id <> ALL(:payout_ids))
            ) k
            WHERE e.id = k.id
            """
        ),
        {"payout_ids": list(payout_ids), "rejected": REJECTION},
    )


def reversals_of(tx: Tx, earning_ids: Sequence[int]) -> list[Any]:
    """The debits that take earnings back, which are not void: id, reverses_id, payout_id, amount."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, reverses_id, payout_id, amount FROM earnings
                WHERE reverses_id = ANY(:ids) AND voided_at IS NULL
                """
            ),
            {"ids": list(earning_ids)},
        )
    )


def void(tx: Tx, earning_ids: Sequence[int], at: Any) -> list[Any]:
    """Void earnings that no payout has; returns them as they were recorded."""
    return list(
        tx.execute(
            text(
                """
                UPDATE earnings SET voided_at = :at
                WHERE id = ANY(:ids) AND payout_id IS NULL AND voided_at IS NULL
                RETURNING id, merchant_id, user_id, currency, amount, kind
                """
            ),
            {"ids": list(earning_ids), "at": at},
        )
    )
