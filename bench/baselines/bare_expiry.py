"""The limit of expiring points: five statements that leave the same rows, everything else as it is."""

import time
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, text

from domain.db import Tx


def expire(engine: Engine, merchant_id: int, fire_at: datetime) -> float:
    """Expire all that is due in one transaction; returns its seconds."""
    started = time.monotonic()
    with engine.begin() as tx:
        tx.execute(text("SET LOCAL jit = off"))
        values = {"merchant_id": merchant_id, "fire_at": fire_at}
        for statement in (_BOOK, _ALLOCATE, _EMPTY, _LAPSE, _POST):
            used = {name: v for name, v in values.items() if f":{name}" in statement.text}
            tx.execute(statement, used)
    return time.monotonic() - started


def outcome(tx: Tx) -> list[tuple[Any, ...]]:
    """Rows, and the sum of their digests, of each table that expiring writes, ids of new rows apart."""
    return [tuple(tx.execute(text(statement)).one()) for statement in _DIGESTS]


_BOOK: Final = text(
    """
    INSERT INTO loyalty_transactions (merchant_id, card_id, program_id, program_version, seq, type, points_delta,
           points_balance_after, stamps_balance_after, explanation, transaction_at)
    SELECT c.merchant_id, c.id, c.program_id, 1, c.last_seq + row_number() OVER w, 'points_expired', -l.points,
           c.points_balance - sum(l.points) OVER w, 0, '{"policy": "lot"}', l.expires_at
    FROM (SELECT card_id, expires_at, sum(remaining)::bigint AS points FROM point_lots
          WHERE merchant_id = :merchant_id AND remaining > 0 AND expires_at <= :fire_at
          GROUP BY card_id, expires_at) l
    JOIN cards c ON c.id = l.card_id
    WINDOW w AS (PARTITION BY c.id ORDER BY l.expires_at)
    """
)
_ALLOCATE: Final = text(
    """
    INSERT INTO lot_allocations (merchant_id, debit_transaction_id, lot_id, points)
    SELECT l.merchant_id, t.id, l.id, l.remaining
    FROM point_lots l JOIN loyalty_transactions t
      ON t.card_id = l.card_id AND t.type = 'points_expired' AND t.transaction_at = l.expires_at
    WHERE l.merchant_id = :merchant_id AND l.remaining > 0 AND l.expires_at <= :fire_at
    """
)
_EMPTY: Final = text(
    """
    UPDATE point_lots SET remaining = 0
    WHERE merchant_id = :merchant_id AND remaining > 0 AND expires_at <= :fire_at
    """
)
_LAPSE: Final = text(
    """
    UPDATE cards c SET points_balance = t.balance, last_seq = t.seq, expire_check_on = l.expires_at
    FROM (SELECT card_id, max(seq) AS seq, min(points_balance_after) AS balance FROM loyalty_transactions
          WHERE type = 'points_expired' AND merchant_id = :merchant_id GROUP BY card_id) t
    LEFT JOIN (SELECT card_id, min(expires_at) AS expires_at FROM point_lots WHERE remaining > 0 GROUP BY card_id) l
      ON l.card_id = t.card_id
    WHERE c.id = t.card_id
    """
)
_POST: Final = text(
    """
    INSERT INTO ledger_transfers (merchant_id, group_id, debit_account_id, credit_account_id, amount, currency,
                                  kind, source_kind, source_id, occurred_at)
    SELECT t.merchant_id, 1, d.id, c.id, -t.points_delta, d.currency, 'points_expired', 'loyalty_transaction', t.id,
           t.transaction_at
    FROM loyalty_transactions t
    JOIN ledger_accounts d ON d.merchant_id = t.merchant_id AND d.kind = 'points_liability'
    JOIN ledger_accounts c ON c.merchant_id = t.merchant_id AND c.kind = 'points_breakage'
    WHERE t.type = 'points_expired' AND t.merchant_id = :merchant_id
    """
)
_DIGESTS: Final = tuple(
    f"SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text, 0) % 1000000007), 0)::bigint FROM {rows}"
    for columns, rows in (
        (
            "card_id, seq, type, points_delta, points_balance_after, explanation, transaction_at",
            "loyalty_transactions",
        ),
        (
            "t.card_id, t.seq, a.lot_id, a.points",
            "lot_allocations a JOIN loyalty_transactions t ON t.id = a.debit_transaction_id",
        ),
        ("id, remaining", "point_lots"),
        ("id, points_balance, last_seq, expire_check_on", "cards"),
        (
            "t.card_id, t.seq, l.amount, l.debit_account_id, l.credit_account_id, l.occurred_at",
            "ledger_transfers l JOIN loyalty_transactions t ON t.id = l.source_id",
        ),
    )
)
