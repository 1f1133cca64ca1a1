"""SQL of hard limits: what was claimed for a day and by a run, and what is given back.

What is counted is written by a trigger as payouts are made (count_payouts), so that no road leaves it out.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def lock(tx: Tx, merchant_id: int, currencies: Sequence[str]) -> None:
    """Lock a merchant's limits of ``currencies``, in their order: until the transaction ends, no other
    run that has a limit of the day claims in them.

    In the lock order they come after payable accounts and payouts, and before nothing but the ledger.
    """
    tx.execute(
        text(
            """
            SELECT FROM payout_limits WHERE merchant_id = :merchant_id AND currency = ANY(:currencies)
            ORDER BY currency FOR NO KEY UPDATE
            """
        ),
        {"merchant_id": merchant_id, "currencies": list(currencies)},
    )


def used(
    tx: Tx, merchant_id: int, day: date, run_id: int | None
) -> tuple[dict[str, int], dict[str, int]]:
    """What a run (None: one that does not exist yet), and all runs of its day, claimed, by currency."""
    rows = tx.execute(
        text(
            """
            SELECT currency, coalesce(sum(amount) FILTER (WHERE run_id = :run_id), 0) AS of_run,
                   sum(amount) AS of_day
            FROM payout_run_totals WHERE merchant_id = :merchant_id AND day = :day GROUP BY currency
            """
        ),
        {"merchant_id": merchant_id, "day": day, "run_id": run_id},
    ).all()
    return (
        {row.currency: int(row.of_run) for row in rows},
        {row.currency: int(row.of_day) for row in rows},
    )


def used_by_payees(
    tx: Tx, merchant_id: int, day: date, accounts: Mapping[int, str]
) -> dict[int, int]:
    """What payees were paid on a day, or are to be, by payable account; ``accounts`` name its currency."""
    rows = tx.execute(
        text(
            """
            SELECT a.account_id, payee_day_total(:merchant_id, :day, a.currency, a.account_id) AS amount
            FROM unnest(CAST(:accounts AS bigint[]), CAST(:currencies AS text[])) AS a (account_id, currency)
            """
        ),
        {
            "merchant_id": merchant_id,
            "day": day,
            "accounts": list(accounts),
            "currencies": list(accounts.values()),
        },
    )
    return {row.account_id: int(row.amount) for row in rows}


def unsent(tx: Tx, merchant_id: int) -> dict[tuple[str, str], int]:
    """Sums of a merchant's payouts that are made and not sent, or are tried again by themselves, by method
    and currency."""
    rows = tx.execute(
        text(
            """
            SELECT method, currency, sum(amount) AS amount FROM payouts
            WHERE merchant_id = :merchant_id
                  AND (state IN ('draft', 'pending_approval', 'approved')
                       OR (state = 'failed' AND next_try_at IS NOT NULL))
            GROUP BY method, currency
            """
        ),
        {"merchant_id": merchant_id},
    )
    return {(row.method, row.currency): int(row.amount) for row in rows}


def give_back(tx: Tx, payout_ids: Sequence[int]) -> None:
    """Take payouts out of what is counted: they were canceled in this transaction, by its caller."""
    tx.execute(
        text(
            """
            WITH canceled AS (
                SELECT run_id, currency, count(*) AS payouts, sum(amount) AS amount
                FROM payouts WHERE id = ANY(:ids) AND state = 'canceled' GROUP BY run_id, currency
            ), locked AS (
                SELECT t.run_id, t.currency, c.payouts, c.amount
                FROM payout_run_totals t JOIN canceled c USING (run_id, currency)
                ORDER BY t.run_id, t.currency FOR NO KEY UPDATE OF t
            )
            UPDATE payout_run_totals t SET payouts = t.payouts - l.payouts, amount = t.amount - l.amount
            FROM locked l WHERE t.run_id = l.run_id AND t.currency = l.currency
            """
        ),
        {"ids": list(payout_ids)},
    )


def drifted(tx: Tx, limit: int) -> list[Any]:
    """Runs and currencies whose total is not the sum of their payouts that are not canceled."""
    return list(
        tx.execute(
            text(
                """
                SELECT run_id, currency, coalesce(t.amount, 0) AS amount, coalesce(p.amount, 0) AS summed
                FROM payout_run_totals t
                FULL JOIN (SELECT run_id, currency, count(*) AS payouts, sum(amount) AS amount
                           FROM payouts WHERE state <> 'canceled' GROUP BY run_id, currency) p
                     USING (run_id, currency)
                WHERE (coalesce(t.amount, 0), coalesce(t.payouts, 0))
                      <> (coalesce(p.amount, 0), coalesce(p.payouts, 0))
                ORDER BY run_id, currency LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )
