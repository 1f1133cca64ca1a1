"""What a finished demo holds of its first shop, read from PostgreSQL and from the sandbox's books."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import create_engine, pool, text

from domain.db import snapshot
from sandbox.books import Books
from tests.e2e.installation import Installation
from workers.sweeps import broken_invariants


@dataclass
class Facts:
    """Money in cents by user, (issued, redeemed, expired, balance) in points by card."""

    earned: dict[str, int] = field(default_factory=dict)
    reversed: dict[str, int] = field(default_factory=dict)
    carried_over: dict[str, int] = field(default_factory=dict)
    payouts: dict[str, list[tuple[date, int]]] = field(default_factory=dict)
    unpaid: list[Any] = field(default_factory=list)
    cards: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    applied: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    others: list[Any] = field(default_factory=list)
    paid_to: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    left_over: dict[str, int] = field(default_factory=dict)
    # The sandbox's word, which is nobody's of the above.
    transfers: dict[str, tuple[str, int]] = field(default_factory=dict)
    sandbox_paid_to: dict[str, int] = field(default_factory=dict)


def facts_of(installation: Installation) -> Facts:
    """Start the demo's servers alone, and read."""
    found = Facts()
    with installation.opened("demo") as endpoints:
        engine = create_engine(endpoints.runtime_url, poolclass=pool.NullPool)
        with snapshot(engine) as tx:

            def rows(statement: str) -> Any:
                return tx.execute(text(statement)).all()

            merchant_id = rows("SELECT id FROM merchants WHERE key = 'cdnow'")[0].id
            for row in rows(_EARNINGS):
                found.earned[row.user_id] = row.earned
                found.reversed[row.user_id] = row.reversed
                found.carried_over[row.user_id] = row.unclaimed
            for row in rows(_PAYOUTS):
                if row.state == "paid":
                    found.payouts.setdefault(row.user_id, []).append((row.day, row.amount))
                    paid = found.paid_to.get(row.destination, 0)
                    found.paid_to[row.destination] = paid + row.amount
                else:
                    found.unpaid.append(tuple(row))
            for row in rows(_CARDS):
                found.cards[row.number] = (row.issued, row.redeemed, row.expired, row.balance)
            for row in rows(_EVENTS):
                if row.status == "applied":
                    found.applied[row.type] += row.events
                    found.notes[row.reason or ""] += row.events
                elif row.status == "rejected":
                    found.rejected[row.type] += row.events
                    found.reasons[row.reason] += row.events
                else:
                    found.others.append(tuple(row))
            found.left_over = dict(rows(_LEFT_OVER)[0]._mapping)
            found.broken = broken_invariants(tx)
        engine.dispose()
    with Books(installation.data / "demo" / "sandbox") as books:
        found.broken += books.check()
        paid: Counter[str] = Counter()
        for transfer in books.transfers():
            if transfer.metadata.get("merchant") == str(merchant_id):
                found.transfers[transfer.id] = (transfer.destination, transfer.net)
                paid[transfer.destination] += transfer.net
        found.sandbox_paid_to = dict(paid)
    return found


_EARNINGS = """
    SELECT user_id, coalesce(sum(amount) FILTER (WHERE amount > 0), 0)::bigint AS earned,
           coalesce(-sum(amount) FILTER (WHERE amount < 0), 0)::bigint AS reversed,
           coalesce(sum(amount) FILTER (WHERE payout_id IS NULL), 0)::bigint AS unclaimed
    FROM earnings WHERE merchant_id = (SELECT id FROM merchants WHERE key = 'cdnow') GROUP BY user_id
"""
_PAYOUTS = """
    SELECT p.user_id, CAST(r.as_of AT TIME ZONE 'UTC' AS date) AS day, p.amount, p.state, p.destination
    FROM payouts p JOIN payout_runs r ON r.id = p.run_id
    WHERE p.merchant_id = (SELECT id FROM merchants WHERE key = 'cdnow') ORDER BY p.user_id, r.as_of
"""
_CARDS = """
    SELECT c.number, c.points_balance AS balance,
           coalesce(sum(t.points_delta) FILTER (WHERE t.type IN ('points_earned', 'welcome_bonus')), 0)::bigint
               AS issued,
           coalesce(-sum(t.points_delta) FILTER (WHERE t.type = 'points_redeemed'), 0)::bigint AS redeemed,
           coalesce(-sum(t.points_delta) FILTER (WHERE t.type = 'points_expired'), 0)::bigint AS expired
    FROM cards c LEFT JOIN loyalty_transactions t ON t.card_id = c.id GROUP BY c.id
"""
_EVENTS = """
    SELECT type, status, reason, count(*) AS events FROM inbox_events
    WHERE merchant_id = (SELECT id FROM merchants WHERE key = 'cdnow') GROUP BY 1, 2, 3
"""
_LEFT_OVER = """
    SELECT (SELECT count(*) FROM outbox WHERE queue = 'payouts') AS outbox,
           (SELECT count(*) FROM rejected_messages) AS unreadable,
           (SELECT count(*) FROM inbox_conflicts) AS conflicts
"""
