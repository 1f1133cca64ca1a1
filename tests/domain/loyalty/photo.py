"""All that the database, or the plain book, says of many cards, in one shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from tests.oracles.loyalty_tills import Tills

_SAID = """
    SELECT split_part(event_id, '-', 1), event_id, status, reason FROM inbox_events
    WHERE merchant_id = ANY(:merchants) AND event_id LIKE '%-%'
"""
_CARDS = """
    SELECT number, points_balance, points_debt, stamps_balance, status = 'active' FROM cards
    WHERE merchant_id = ANY(:merchants)
"""
_ROWS = """
    SELECT c.number, t.type, t.points_delta, t.points_balance_after
    FROM loyalty_transactions t JOIN cards c ON c.id = t.card_id
    WHERE t.merchant_id = ANY(:merchants) AND t.seq > 1 ORDER BY t.card_id, t.seq
"""
_LOTS = """
    SELECT c.number, l.remaining, l.held, l.occurred_at, l.available_at, l.expires_at
    FROM point_lots l JOIN cards c ON c.id = l.card_id
    WHERE l.merchant_id = ANY(:merchants) ORDER BY l.id
"""
_HOLDS = """
    SELECT c.number, i.event_id, h.points, h.status, h.expires_at, h.closed_at
    FROM point_holds h JOIN cards c ON c.id = h.card_id JOIN inbox_events i ON i.id = h.inbox_id
    WHERE h.merchant_id = ANY(:merchants) ORDER BY h.id
"""
_CASH = """
    SELECT substr(user_id, 4), amount FROM earnings WHERE merchant_id = ANY(:merchants) ORDER BY id
"""

Photo = tuple[dict[str, str], dict[str, tuple[Any, ...]]]
"""What became of each event; and of each card its balances, rows, lots, holds and cash."""


def of_database(tx: Tx, merchants: Sequence[int]) -> dict[str, Photo]:
    """By history."""

    def rows(statement: str) -> Any:
        return tx.execute(text(statement), {"merchants": list(merchants)})

    said: dict[str, dict[str, str]] = defaultdict(dict)
    for name, event_id, status, reason in rows(_SAID):
        said[name][event_id] = _status(status, reason)
    parts: list[dict[str, list[tuple[Any, ...]]]] = []
    for statement in (_ROWS, _LOTS, _HOLDS, _CASH):
        listed: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for number, *one in rows(statement):
            listed[number].append(tuple(one))
        parts.append(listed)
    photos: dict[str, Photo] = {}
    for number, *balances in rows(_CARDS):
        name = number.split(".")[0]
        _, cards = photos.setdefault(name, (said[name], {}))
        cards[number] = (tuple(balances), *(listed[number] for listed in parts))
    return photos


def _status(status: str, reason: str | None) -> str:
    return status + (f":{reason}" if reason and status != "waiting" else "")


def of_book(book: Tills) -> Photo:
    """The same of a history's book."""
    return dict(book.said), {
        number: (
            (card.balance(), card.debt, card.stamps, card.active),
            card.rows,
            [(x.left, x.held, x.since, x.spendable, x.until) for x in card.lots],
            [(x.event, x.points, x.status, x.until, x.closed) for x in card.holds],
            [(amount,) for amount in card.cash],
        )
        for number, card in book.cards.items()
    }


# What must hold of every card, order and shop at all times, written without the product's own checks.
_BROKEN = """
    SELECT 'the points of card ' || c.number FROM cards c
    WHERE c.merchant_id = ANY(:merchants) AND (
        c.points_balance <> (SELECT coalesce(sum(remaining), 0) FROM point_lots WHERE card_id = c.id)
            - (SELECT coalesce(sum(remaining), 0) FROM point_debts WHERE card_id = c.id)
        OR c.points_balance <> (SELECT sum(points_delta) FROM loyalty_transactions WHERE card_id = c.id)
        OR c.stamps_balance <> (SELECT sum(stamps_delta) FROM loyalty_transactions WHERE card_id = c.id)
        OR c.last_seq <> (SELECT count(*) FROM loyalty_transactions WHERE card_id = c.id))
    UNION ALL
    SELECT 'the voids of row ' || o.id FROM loyalty_transactions o JOIN loyalty_transactions v
        ON v.related_transaction_id = o.id AND v.type IN ('points_voided', 'stamp_voided')
    WHERE o.merchant_id = ANY(:merchants) GROUP BY o.id
    HAVING sum(abs(v.points_delta)) > abs(o.points_delta) OR sum(-v.stamps_delta) > abs(o.stamps_delta)
    UNION ALL
    SELECT 'the ledger of shop ' || p.merchant_id
    FROM (SELECT merchant_id, sum(points_balance) AS points FROM cards
          WHERE merchant_id = ANY(:merchants) GROUP BY merchant_id) p
    WHERE p.points <> (
        SELECT coalesce(sum(CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END), 0)
        FROM ledger_accounts a JOIN ledger_transfers t ON a.id IN (t.credit_account_id, t.debit_account_id)
        WHERE a.merchant_id = p.merchant_id AND a.kind = 'points_liability')
"""


def broken(tx: Tx, merchants: Sequence[int]) -> list[str]:
    """What does not add up: the sums of cards, the caps of voids, the ledger of points."""
    return list(tx.execute(text(_BROKEN), {"merchants": list(merchants)}).scalars())
