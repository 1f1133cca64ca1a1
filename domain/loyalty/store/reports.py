"""SQL that checks the books of loyalty: each query returns what is broken, at most ``limit`` rows."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx

_DRIFTED_CARDS = text(
    """
    WITH lots AS (SELECT card_id, sum(remaining)::bigint AS points FROM point_lots WHERE remaining > 0 GROUP BY card_id),
         history AS (SELECT card_id, sum(points_delta)::bigint AS points, sum(stamps_delta)::bigint AS stamps,
                            max(seq) AS seq, count(*) AS rows
                     FROM loyalty_transactions GROUP BY card_id)
    SELECT c.id, c.number, c.points_balance, c.points_debt, c.last_seq, coalesce(l.points, 0) AS lots,
           coalesce(h.points, 0) AS history, coalesce(h.rows, 0) AS rows, coalesce(t.points_balance_after, 0) AS last
    FROM cards c
    LEFT JOIN lots l ON l.card_id = c.id
    LEFT JOIN history h ON h.card_id = c.id
    LEFT JOIN loyalty_transactions t ON t.card_id = c.id AND t.seq = h.seq
    WHERE c.points_balance <> coalesce(l.points, 0) - c.points_debt
       OR c.points_balance <> coalesce(h.points, 0)
       OR c.points_balance <> coalesce(t.points_balance_after, 0)
       OR c.stamps_balance <> coalesce(h.stamps, 0)
       OR c.last_seq <> coalesce(h.seq, 0)
       OR c.last_seq <> coalesce(h.rows, 0)
    ORDER BY c.id LIMIT :limit
    """
)

_DRIFTED_LOTS = text(
    """
    WITH moved AS (
        SELECT lot_id, points FROM lot_allocations
        UNION ALL SELECT lot_id, points FROM debt_repayments
        UNION ALL SELECT lot_id, -points FROM lot_restorations
    )
    SELECT l.id, l.points, l.remaining, coalesce(sum(m.points), 0)::bigint AS allocated
    FROM point_lots l LEFT JOIN moved m ON m.lot_id = l.id
    GROUP BY l.id HAVING l.points - l.remaining <> coalesce(sum(m.points), 0)
    ORDER BY l.id LIMIT :limit
    """
)

# A debit is what lots gave and what is owed for it; a credit what it brought and what lots got back.
_DRIFTED_DEBITS = text(
    """
    WITH moved AS (
        SELECT debit_transaction_id AS id, -points AS points FROM lot_allocations
        UNION ALL SELECT transaction_id, -points FROM point_debts
        UNION ALL SELECT transaction_id, points FROM point_lots
        UNION ALL SELECT credit_transaction_id, points FROM lot_restorations
        -- Lots that moved to another card as they were.
        UNION ALL SELECT debit_transaction_id, -points FROM card_merges
        UNION ALL SELECT credit_transaction_id, points FROM card_merges
    )
    SELECT t.id, t.type, t.points_delta, coalesce(sum(m.points), 0)::bigint AS allocated
    FROM loyalty_transactions t LEFT JOIN moved m USING (id)
    GROUP BY t.id HAVING t.points_delta <> coalesce(sum(m.points), 0)
    ORDER BY t.id LIMIT :limit
    """
)

_DRIFTED_DEBTS = text(
    """
    SELECT d.transaction_id, d.points, d.remaining, coalesce(sum(r.points), 0)::bigint AS repaid
    FROM point_debts d LEFT JOIN debt_repayments r ON r.debit_transaction_id = d.transaction_id
    GROUP BY d.transaction_id HAVING d.points - d.remaining <> coalesce(sum(r.points), 0)
    ORDER BY d.transaction_id LIMIT :limit
    """
)

# What a lot holds is what its open holds reserve; never more than is left of it (a constraint says so).
_DRIFTED_HOLDS = text(
    """
    WITH reserved AS (
        SELECT p.lot_id, sum(p.points)::bigint AS points
        FROM point_hold_lots p JOIN point_holds h ON h.id = p.hold_id AND h.status = 'open' GROUP BY p.lot_id
    )
    SELECT l.id, l.held, coalesce(r.points, 0) AS reserved
    FROM point_lots l LEFT JOIN reserved r ON r.lot_id = l.id
    WHERE l.held <> coalesce(r.points, 0) ORDER BY l.id LIMIT :limit
    """
)

_LATE_TIMERS = text(
    """
    SELECT c.id, c.number, d.due AS inactivity_deadline, c.expire_check_on
    FROM cards c
    LEFT JOIN (
        SELECT card_id, min(expires_at) AS expires_at FROM point_lots WHERE remaining > held GROUP BY card_id
    ) l ON l.card_id = c.id
    LEFT JOIN (
        SELECT card_id, min(expires_at) AS expires_at FROM point_holds WHERE status = 'open' GROUP BY card_id
    ) h ON h.card_id = c.id
    CROSS JOIN LATERAL (SELECT least(c.inactivity_deadline, l.expires_at, h.expires_at) AS due) d
    WHERE c.points_balance + c.points_debt > 0 AND d.due IS NOT NULL
      AND (c.expire_check_on IS NULL OR c.expire_check_on > d.due)
    ORDER BY c.id LIMIT :limit
    """
)

_OUTSTANDING = text(
    """
    SELECT p.merchant_id, p.key, p.name, p.status, count(c.id) AS cards,
           coalesce(sum(c.points_balance), 0)::bigint AS points
    FROM loyalty_programs p LEFT JOIN cards c ON c.program_id = p.id
    WHERE CAST(:merchant_id AS bigint) IS NULL OR p.merchant_id = :merchant_id
    GROUP BY p.id ORDER BY p.id
    """
)


def drifted_cards(tx: Tx, limit: int) -> list[Any]:
    """Cards whose balance is not that of their lots, their history and their last row."""
    return list(tx.execute(_DRIFTED_CARDS, {"limit": limit}))


def drifted_lots(tx: Tx, limit: int) -> list[Any]:
    """Lots that do not lack exactly what was allocated from them."""
    return list(tx.execute(_DRIFTED_LOTS, {"limit": limit}))


def drifted_debits(tx: Tx, limit: int) -> list[Any]:
    """Rows that lots, debts and restorations do not add up to."""
    return list(tx.execute(_DRIFTED_DEBITS, {"limit": limit}))


def drifted_debts(tx: Tx, limit: int) -> list[Any]:
    """Debts that do not lack exactly what was repaid."""
    return list(tx.execute(_DRIFTED_DEBTS, {"limit": limit}))


def drifted_holds(tx: Tx, limit: int) -> list[Any]:
    """Lots that hold something else than their open holds reserve."""
    return list(tx.execute(_DRIFTED_HOLDS, {"limit": limit}))


def late_timers(tx: Tx, limit: int) -> list[Any]:
    """Cards with points whose timer would fire after their deadline, or never."""
    return list(tx.execute(_LATE_TIMERS, {"limit": limit}))


def outstanding(tx: Tx, merchant_id: int | None) -> list[Any]:
    """Per program: merchant_id, key, name, status, cards, and the points on them."""
    return list(tx.execute(_OUTSTANDING, {"merchant_id": merchant_id}))


def program_cards(tx: Tx, merchant_id: int, mark: int) -> list[Any]:
    """Per program of a merchant: key, name, status and cards, those behind the mark one by one.

    In one statement: the mark may have moved since it was read, and then a card would be counted twice.
    """
    return list(
        tx.execute(
            text(
                """
                SELECT p.key, p.name, p.status, coalesce(r.cards, 0) + coalesce(t.cards, 0) AS cards
                FROM loyalty_programs p
                LEFT JOIN loyalty_rollups r ON r.program_id = p.id
                LEFT JOIN (
                    SELECT c.program_id, count(*) AS cards FROM cards c
                    WHERE c.id > :mark AND c.merchant_id = :merchant_id
                          AND c.id > (SELECT upto FROM rollup_marks WHERE source = 'cards')
                    GROUP BY 1
                ) t ON t.program_id = p.id
                WHERE p.merchant_id = :merchant_id ORDER BY p.id
                """
            ),
            {"merchant_id": merchant_id, "mark": mark},
        )
    )


def add_cards(tx: Tx, after: int, upto: int) -> None:
    """Count the cards with these ids."""
    tx.execute(
        text(
            """
            INSERT INTO loyalty_rollups AS r (program_id, cards)
            SELECT program_id, count(*) FROM cards WHERE id > :after AND id <= :upto
            GROUP BY 1 ORDER BY 1
            ON CONFLICT (program_id) DO UPDATE SET cards = r.cards + EXCLUDED.cards
            """
        ),
        {"after": after, "upto": upto},
    )
