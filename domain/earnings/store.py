"""All SQL of earnings."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx, copy_rows, next_ids
from domain.earnings.rules import NewEarning
from domain.ledger.rules import Account

_COLUMNS = [
    "id",
    "merchant_id",
    "user_id",
    "account_id",
    "currency",
    "amount",
    "kind",
    "source_kind",
    "source_id",
    "reverses_id",
    "method",
    "available_at",
    "held_at",
    "hold_reason",
]


def insert(tx: Tx, new: Sequence[NewEarning], accounts: Mapping[Account, int]) -> list[int]:
    """Append ``new``; returns their ids in order."""
    ids = next_ids(tx, "earnings", len(new))
    id_of = dict(zip(map(id, new), ids, strict=True))
    copy_rows(
        tx,
        "earnings",
        _COLUMNS,
        (
            (
                earning_id,
                e.merchant_id,
                e.user_id,
                accounts[e.account],
                e.currency,
                e.amount,
                e.kind,
                e.source_kind,
                e.source_id,
                id_of[id(e.reverses)] if isinstance(e.reverses, NewEarning) else e.reverses,
                e.method,
                e.available_at,
                e.occurred_at if e.hold_reason else None,
                e.hold_reason,
            )
            for earning_id, e in zip(ids, new, strict=True)
        ),
    )
    return ids


def by_source(tx: Tx, source_kind: str, source_ids: Sequence[int]) -> list[Any]:
    """Earnings of the given sources: id, source_id, kind, available_at, payout_id, hold_reason, method."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, source_id, kind, user_id, amount, currency, available_at, payout_id,
                       hold_reason, method
                FROM earnings WHERE source_kind = :source_kind AND source_id = ANY(:source_ids)
                """
            ),
            {"source_kind": source_kind, "source_ids": list(source_ids)},
        )
    )


def totals_for_user(tx: Tx, merchant_id: int, user_id: str, as_of: Any) -> list[Any]:
    """Per currency: total, held, pending, available, claimed and reversed; minor units."""
    return list(
        tx.execute(
            text(
                """
                SELECT currency, count(*) AS earnings,
                       coalesce(sum(amount) FILTER (WHERE voided_at IS NULL), 0)::bigint AS total,
                       coalesce(sum(amount) FILTER (WHERE held_at IS NOT NULL AND voided_at IS NULL), 0)::bigint AS held,
                       coalesce(sum(amount) FILTER (WHERE held_at IS NULL AND voided_at IS NULL AND payout_id IS NULL
                                                     AND available_at > :as_of), 0)::bigint AS pending,
                       coalesce(sum(amount) FILTER (WHERE held_at IS NULL AND voided_at IS NULL AND payout_id IS NULL
                                                     AND available_at <= :as_of), 0)::bigint AS available,
                       coalesce(sum(amount) FILTER (WHERE payout_id IS NOT NULL), 0)::bigint AS claimed,
                       coalesce(-sum(amount) FILTER (WHERE kind IN ('clawback', 'referee_clawback')), 0)::bigint AS reversed
                FROM earnings WHERE merchant_id = :merchant_id AND user_id = :user_id
                GROUP BY currency ORDER BY currency
                """
            ),
            {"merchant_id": merchant_id, "user_id": user_id, "as_of": as_of},
        )
    )


def drifted_accounts(tx: Tx, limit: int) -> list[Any]:
    """Payable accounts whose balance is not the sum of their unclaimed, unvoided earnings."""
    return list(
        tx.execute(
            text(
                """
                SELECT a.id, a.owner, a.currency, a.balance, coalesce(sum(e.amount), 0)::bigint AS unclaimed
                FROM ledger_accounts a
                LEFT JOIN earnings e ON e.account_id = a.id AND e.payout_id IS NULL AND e.voided_at IS NULL
                WHERE a.kind = 'payable'
                GROUP BY a.id HAVING a.balance <> coalesce(sum(e.amount), 0)
                LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )
