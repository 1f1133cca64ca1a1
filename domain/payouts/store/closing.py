"""SQL of the month's close: what each payee was owed, earned and was paid, out of the ledger."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

BATCH: Final = 1_000
"""Rows that are held in memory at once."""


def close(tx: Tx, merchant_id: int, start: datetime, end: datetime) -> Iterator[Any]:
    """A row for each payee and currency, by currency and user, streamed; minor units.

    From transfers of the payable accounts: before ``start``, and from ``start`` on and before ``end``.
    What was released by a canceled payout came back; what moved for no other reason was earned, or, as a
    debit, taken back. What a payout carried over is neither: its two earnings are of sum 0.
    """
    result = tx.execution_options(stream_results=True, max_row_buffer=BATCH).execute(
        _CLOSE, {"merchant_id": merchant_id, "start": start, "end": end}
    )
    yield from result


_CLOSE: Final = text(
    """
    WITH moves AS (
        SELECT a.id, l.amount, l.kind, l.occurred_at
        FROM ledger_accounts a JOIN ledger_transfers l ON l.credit_account_id = a.id
        WHERE a.merchant_id = :merchant_id AND a.kind = 'payable' AND l.occurred_at < :end
        UNION ALL
        SELECT a.id, -l.amount, l.kind, l.occurred_at
        FROM ledger_accounts a JOIN ledger_transfers l ON l.debit_account_id = a.id
        WHERE a.merchant_id = :merchant_id AND a.kind = 'payable' AND l.occurred_at < :end
    ), summed AS (
        SELECT id, coalesce(sum(amount) FILTER (WHERE occurred_at < :start), 0) AS opening,
               coalesce(sum(amount) FILTER (WHERE occurred_at >= :start AND amount > 0
                        AND kind NOT LIKE 'payout\\_%' AND kind <> 'carry_over'), 0) AS earned,
               coalesce(-sum(amount) FILTER (WHERE occurred_at >= :start AND amount < 0
                        AND kind NOT LIKE 'payout\\_%' AND kind <> 'carry_over'), 0) AS reversed,
               coalesce(-sum(amount) FILTER (WHERE occurred_at >= :start AND amount < 0
                        AND kind LIKE 'payout\\_%'), 0) AS paid,
               coalesce(sum(amount) FILTER (WHERE occurred_at >= :start AND amount > 0
                        AND kind LIKE 'payout\\_%'), 0) AS came_back,
               sum(amount) AS closing
        FROM moves GROUP BY id
    )
    SELECT a.owner AS user_id, a.currency, s.opening::bigint AS opening, s.earned::bigint AS earned,
           s.reversed::bigint AS reversed, s.paid::bigint AS paid, s.came_back::bigint AS came_back,
           s.closing::bigint AS closing
    FROM summed s JOIN ledger_accounts a ON a.id = s.id
    WHERE (s.opening, s.earned, s.reversed, s.paid, s.came_back) <> (0, 0, 0, 0, 0)
    ORDER BY a.currency COLLATE "C", a.owner COLLATE "C"
    """
)


def statement(tx: Tx, merchant_id: int, user_id: str, start: datetime, end: datetime) -> list[Any]:
    """Every movement of what a user is owed, oldest first, signed, with what it came from; the first row
    of a currency is what was owed at ``start``."""
    return list(
        tx.execute(
            text(
                """
                WITH moves AS (
                    SELECT l.id, a.currency, l.occurred_at, l.kind, l.source_kind, l.source_id,
                           CASE WHEN l.credit_account_id = a.id THEN l.amount ELSE -l.amount END AS amount
                    FROM ledger_accounts a
                    JOIN ledger_transfers l ON l.credit_account_id = a.id OR l.debit_account_id = a.id
                    WHERE a.merchant_id = :merchant_id AND a.kind = 'payable' AND a.owner = :user_id
                      AND l.occurred_at < :end
                )
                SELECT currency, CAST(:start AS timestamptz) AS at, 'opening' AS reason, '' AS source,
                       coalesce(sum(amount) FILTER (WHERE occurred_at < :start), 0)::bigint AS amount,
                       0 AS id
                FROM moves GROUP BY currency
                UNION ALL
                SELECT currency, occurred_at, kind, source_kind || ' ' || source_id, amount, id
                FROM moves WHERE occurred_at >= :start
                ORDER BY currency, at, id
                """
            ),
            {"merchant_id": merchant_id, "user_id": user_id, "start": start, "end": end},
        )
    )
