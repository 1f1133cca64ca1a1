"""SQL of corrections: what they refer to, and what they leave behind. Only batches with one come here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx, copy_rows
from domain.loyalty.rules import Card, Entry, Lot
from domain.loyalty.rules.cards import Original
from domain.loyalty.rules.lots import Debt
from domain.loyalty.rules.refunds import Order

_DEBTS = text(
    """
    SELECT card_id, transaction_id, points, remaining FROM point_debts
    WHERE card_id = ANY(:cards) AND remaining > 0 ORDER BY card_id, transaction_id
    """
)

_CARDS_OF_ORDERS = text(
    """
    SELECT DISTINCT c.merchant_id, c.number
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:orders AS text[])) AS w (merchant_id, order_reference)
    JOIN loyalty_transactions t USING (merchant_id, order_reference)
    JOIN cards c ON c.id = t.card_id
    WHERE t.type = 'points_earned'
    """
)

_MADE = text(
    """
    SELECT t.inbox_id, coalesce(c.merged_into_id, c.id) AS card_id, array_agg(t.id ORDER BY t.id) AS ids, sum(t.points_delta)::bigint AS points,
           sum(t.stamps_delta)::bigint AS stamps,
           (array_agg(t.points_balance_after ORDER BY t.id DESC))[1] AS balance,
           (array_agg(t.stamps_balance_after ORDER BY t.id DESC))[1] AS stamps_balance
    FROM loyalty_transactions t JOIN cards c ON c.id = t.card_id
    WHERE t.inbox_id = ANY(:inbox_ids)
      -- Not what a late proof of activity gave back.
      AND NOT (t.type = 'points_adjustment' AND t.related_transaction_id IS NOT NULL)
    GROUP BY t.inbox_id, c.id
    UNION ALL
    SELECT r.inbox_id, coalesce(c.merged_into_id, c.id), '{}', 0, 0, c.points_balance, c.stamps_balance
    FROM loyalty_refunds r JOIN cards c ON c.id = r.card_id
    WHERE r.inbox_id = ANY(:inbox_ids)
      AND NOT EXISTS (SELECT FROM loyalty_transactions t WHERE t.inbox_id = r.inbox_id)
    """
)

# The number under which the card is found now that a refused event named.
_CARD_OF = """
    coalesce((SELECT s.number FROM cards m JOIN cards s ON s.id = m.merged_into_id
              WHERE m.merchant_id = i.merchant_id AND m.number = i.data ->> 'card'), i.data ->> 'card')
"""

# What a merged card did is the survivor's now, who holds its lots.
_COLUMNS = """
    t.id, coalesce((SELECT merged_into_id FROM cards WHERE id = t.card_id), t.card_id) AS card_id, t.type, t.points_delta, t.stamps_delta, t.purchase_amount_cents, t.purchase_currency,
    coalesce(CAST(t.explanation ->> 'cash' AS bigint), 0) AS cash, t.explanation ->> 'currency' AS cash_currency,
    coalesce(CAST(t.explanation ->> 'counted_at' AS timestamptz), t.transaction_at) AS counted_at,
    coalesce((
        SELECT sum(abs(v.points_delta) + coalesce(v.points_not_taken, 0) + abs(v.stamps_delta))
        FROM loyalty_transactions v
        WHERE v.related_transaction_id = t.id AND v.type IN ('points_voided', 'stamp_voided')
    ), 0)::bigint AS undone
"""

_ORIGINALS = text(
    f"""
    SELECT i.merchant_id, i.source, i.event_id, i.type AS kind,
           CASE i.status WHEN 'rejected' THEN {_CARD_OF} END AS refused_card, {_COLUMNS}
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:sources AS text[]), CAST(:ids AS text[]))
         AS w (merchant_id, source, event_id)
    JOIN inbox_events i USING (merchant_id, source, event_id)
    LEFT JOIN loyalty_transactions t ON t.inbox_id = i.id
         AND t.type IN ('points_earned', 'welcome_bonus', 'points_redeemed', 'stamp_earned')
    """  # noqa: S608
)

_EARNS_OF_ORDERS = text(
    f"""
    SELECT t.merchant_id, t.order_reference, {_COLUMNS}
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:orders AS text[])) AS w (merchant_id, order_reference)
    JOIN loyalty_transactions t USING (merchant_id, order_reference)
    WHERE t.type = 'points_earned' ORDER BY t.id
    """  # noqa: S608
)

_REFUSED_EARNS = text(
    f"""
    SELECT DISTINCT i.merchant_id, {_CARD_OF} AS card, i.correlation
    FROM unnest(CAST(:merchants AS bigint[]), CAST(:correlations AS text[])) AS w (merchant_id, correlation)
    JOIN inbox_events i USING (merchant_id, correlation)
    WHERE i.status = 'rejected' AND i.type = 'loyalty.points_earned'
    """  # noqa: S608
)

_REFUNDS = text(
    """
    SELECT w.card_id, r.order_reference, r.refund_id, r.amount
    FROM unnest(CAST(:cards AS bigint[]), CAST(:orders AS text[])) AS w (card_id, order_reference)
    CROSS JOIN LATERAL (
        SELECT w.card_id AS id UNION ALL SELECT id FROM cards WHERE merged_into_id = w.card_id
    ) c
    JOIN loyalty_refunds r ON r.card_id = c.id AND r.order_reference = w.order_reference
    """
)

# What each lot credited, or what was taken from it, with what of either is undone.
_CREDITED = text(
    """
    SELECT l.transaction_id, l.card_id, l.id, l.points, l.remaining, l.held, l.occurred_at, l.available_at,
           l.expires_at, e.expired
    FROM point_lots l
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(a.points - coalesce((
                   SELECT sum(r.points) FROM lot_restorations r
                   WHERE r.debit_transaction_id = a.debit_transaction_id AND r.lot_id = a.lot_id), 0)), 0)::bigint
               AS expired
        FROM lot_allocations a JOIN loyalty_transactions t ON t.id = a.debit_transaction_id
        WHERE a.lot_id = l.id AND t.type = 'points_expired'
    ) e
    WHERE l.transaction_id = ANY(:transactions)
    """
)

_SPENT = text(
    """
    SELECT a.debit_transaction_id AS transaction_id, l.card_id, l.id, l.points, l.remaining, l.held,
           l.occurred_at, l.available_at, l.expires_at, 0 AS expired,
           (a.points - coalesce((
               SELECT sum(r.points) FROM lot_restorations r
               WHERE r.debit_transaction_id = a.debit_transaction_id AND r.lot_id = a.lot_id), 0))::bigint AS spent
    FROM lot_allocations a JOIN point_lots l ON l.id = a.lot_id
    WHERE a.debit_transaction_id = ANY(:transactions)
    ORDER BY a.debit_transaction_id, l.expires_at, l.occurred_at, l.id
    """
)

_PAY = text(
    """
    UPDATE point_debts AS d SET remaining = p.remaining
    FROM unnest(CAST(:ids AS bigint[]), CAST(:remaining AS bigint[])) AS p (id, remaining)
    WHERE d.transaction_id = p.id
    """
)


def load_debts(tx: Tx, cards: Sequence[Card]) -> None:
    """Give cards that owe points their open debts, oldest first."""
    if not cards:
        return
    by_id = {card.id: card for card in cards}
    for card_id, debit_id, points, remaining in tx.execute(_DEBTS, {"cards": list(by_id)}):
        by_id[card_id].debts.append(Debt(points, remaining, debit_id))


def cards_of_orders(tx: Tx, orders: Iterable[tuple[int, str]]) -> set[tuple[int, str]]:
    """(merchant, number) of the cards that earned for ``orders`` (merchant, reference)."""
    wanted = sorted(orders)
    rows = tx.execute(
        _CARDS_OF_ORDERS, {"merchants": [m for m, _ in wanted], "orders": [o for _, o in wanted]}
    )
    return {(row.merchant_id, row.number) for row in rows}


def made_before(tx: Tx, inbox_ids: Sequence[int]) -> list[Any]:
    """Rows that events made already: inbox_id, card_id, ids, points, stamps and balances after."""
    return list(tx.execute(_MADE, {"inbox_ids": list(inbox_ids)}))


def originals(
    tx: Tx, named: Iterable[tuple[int, str, str]], cards: Mapping[int, Card]
) -> tuple[
    dict[tuple[int, str, str], Original],
    dict[tuple[int, str, str], str],
    dict[tuple[int, str, str], str],
]:
    """Rows that can be voided, by the event that made them, the types of all those events, and the cards
    of those that were refused.

    Their lots are those of ``cards``, which must be locked; closed ones join them.
    """
    wanted = sorted(named)
    rows = tx.execute(
        _ORIGINALS,
        {
            "merchants": [merchant for merchant, _, _ in wanted],
            "sources": [source for _, source, _ in wanted],
            "ids": [event_id for _, _, event_id in wanted],
        },
    ).all()
    kinds = {(row.merchant_id, row.source, row.event_id): row.kind for row in rows}
    found = {
        (row.merchant_id, row.source, row.event_id): _original(row)
        for row in rows
        if row.id is not None
    }
    _load_lots(tx, list(found.values()), cards)
    refused = {
        (row.merchant_id, row.source, row.event_id): row.refused_card
        for row in rows
        if row.refused_card is not None
    }
    return found, kinds, refused


def refused_earns(tx: Tx, wanted: Iterable[tuple[int, str]]) -> set[tuple[int, str, str]]:
    """(merchant, card number, correlation) of earns that were refused under ``wanted``."""
    keys = sorted(wanted)
    rows = tx.execute(
        _REFUSED_EARNS, {"merchants": [m for m, _ in keys], "correlations": [c for _, c in keys]}
    )
    return {(row.merchant_id, row.card, row.correlation) for row in rows}


def orders(
    tx: Tx,
    ordered: Iterable[tuple[int, str]],
    cards: Mapping[int, Card],
    known: Mapping[int, Original],
) -> tuple[dict[tuple[int, str], Order], dict[tuple[int, str], set[int]]]:
    """What locked ``cards`` earned for orders, by (card, reference), and the cards of each order.

    ``known`` are originals of the batch by id: a row is one object, whoever refers to it.
    """
    wanted = sorted(ordered)
    rows = tx.execute(
        _EARNS_OF_ORDERS, {"merchants": [m for m, _ in wanted], "orders": [o for _, o in wanted]}
    ).all()
    found: dict[tuple[int, str], Order] = {}
    order_cards: dict[tuple[int, str], set[int]] = {}
    new: list[Original] = []
    for row in rows:
        order_cards.setdefault((row.merchant_id, row.order_reference), set()).add(row.card_id)
        if row.card_id not in cards:
            continue
        original = known.get(row.id)
        if original is None:
            original = _original(row)
            new.append(original)
        found.setdefault((row.card_id, row.order_reference), Order()).earns.append(original)
    _load_lots(tx, new, cards)
    for row in tx.execute(
        _REFUNDS, {"cards": [c for c, _ in found], "orders": [o for _, o in found]}
    ).all():
        order = found[row.card_id, row.order_reference]
        order.refunded += row.amount
        order.refund_ids.add(row.refund_id)
    return found, order_cards


def _original(row: Any) -> Original:
    return Original(
        card_id=row.card_id,
        type=row.type,
        points=row.points_delta,
        stamps=row.stamps_delta,
        at=row.counted_at,
        undone=row.undone,
        purchase_amount=row.purchase_amount_cents,
        purchase_currency=row.purchase_currency,
        stored_id=row.id,
        cash=row.cash,
        cash_currency=row.cash_currency,
    )


def _load_lots(tx: Tx, found: Sequence[Original], cards: Mapping[int, Card]) -> None:
    by_id = {original.id: original for original in found if original.card_id in cards}
    if not by_id:
        return
    loaded = {
        card_id: {lot.id: lot for lot in card.lots or ()}
        for card_id, card in cards.items()
        if card_id in {original.card_id for original in by_id.values()}
    }

    def lot_of(row: Any) -> Lot:
        lots = loaded[row.card_id]
        if row.id not in lots:
            lots[row.id] = Lot(
                row.points,
                row.remaining,
                row.occurred_at,
                row.available_at,
                row.expires_at,
                row.held,
                row.id,
            )
        return lots[row.id]

    for row in tx.execute(_CREDITED, {"transactions": list(by_id)}).all():
        lot = by_id[row.transaction_id].lot = lot_of(row)
        lot.expired = row.expired
    for row in tx.execute(_SPENT, {"transactions": list(by_id)}).all():
        lot = lot_of(row)
        if row.spent:
            by_id[row.transaction_id].spent.append((lot, row.spent))
    for card_id, lots in loaded.items():
        # In stored order again, which decides among equals.
        cards[card_id].lots = sorted(lots.values(), key=lambda lot: lot.id)


def add_refunds(tx: Tx, rows: Sequence[tuple[int, int, str, str, int, int]]) -> None:
    """Keep refunds: (merchant, card, order reference, refund id, amount, inbox id)."""
    copy_rows(
        tx,
        "loyalty_refunds",
        ("merchant_id", "card_id", "order_reference", "refund_id", "amount", "inbox_id"),
        rows,
    )


def write(tx: Tx, entries: Sequence[Entry]) -> None:
    """Store the debts, repayments and restorations of stored ``entries``."""
    new = {id(entry.debt) for entry in entries if entry.debt}
    for entry in entries:
        if entry.debt:
            entry.debt.debit_id = entry.id
    copy_rows(
        tx,
        "point_debts",
        ("transaction_id", "merchant_id", "card_id", "points", "remaining"),
        (
            (e.id, e.card.merchant_id, e.card.id, e.debt.points, e.debt.remaining)
            for e in entries
            if e.debt
        ),
    )
    old = {
        debt.debit_id: debt.remaining
        for entry in entries
        for debt, _, _ in entry.repaid
        if id(debt) not in new
    }
    if old:
        tx.execute(_PAY, {"ids": list(old), "remaining": list(old.values())})
    copy_rows(
        tx,
        "debt_repayments",
        ("merchant_id", "credit_transaction_id", "debit_transaction_id", "lot_id", "points"),
        (
            (e.card.merchant_id, e.id, debt.debit_id, lot.id, points)
            for e in entries
            for debt, lot, points in e.repaid
        ),
    )
    copy_rows(
        tx,
        "lot_restorations",
        ("merchant_id", "credit_transaction_id", "debit_transaction_id", "lot_id", "points"),
        (
            (e.card.merchant_id, e.id, e.original.id, lot.id, points)
            for e in entries
            if e.original
            for lot, points in e.restored
        ),
    )
