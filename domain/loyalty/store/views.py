"""SQL by which a card is looked up, without locks."""

from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.loyalty.rules.reporting import EVERYTHING, Only

# One statement, so that the card and its lots are of the same moment.
_CARD = text(
    """
    SELECT c.number, c.customer_id, p.key AS program, c.status, c.points_balance, c.points_debt, c.stamps_balance,
           c.inactivity_deadline, c.expired_through, c.last_activity_at, c.created_at,
           c.anonymized_at IS NOT NULL AS anonymized,
           l.points, l.remaining, l.occurred_at, l.available_at, l.expires_at,
           ARRAY(SELECT m.number FROM cards m WHERE m.merged_into_id = c.id ORDER BY m.id) AS merged,
           CASE WHEN l.held = 0 THEN 0 ELSE (
               SELECT coalesce(sum(p.points), 0)::bigint FROM point_hold_lots p
               JOIN point_holds h ON h.id = p.hold_id AND h.status = 'open' AND h.expires_at > :now
               WHERE p.lot_id = l.id
           ) END AS held
    FROM cards c
    JOIN loyalty_programs p ON p.id = c.program_id
    LEFT JOIN point_lots l ON l.card_id = c.id AND l.remaining > 0
    WHERE c.id = (SELECT coalesce(merged_into_id, id) FROM cards
                  WHERE merchant_id = :merchant_id AND number = :number)
    """
)

_HISTORY = text(
    """
    SELECT t.id, t.seq, t.type, t.points_delta AS points, t.points_balance_after AS balance,
           t.stamps_delta AS stamps, t.stamps_balance_after AS stamps_balance, t.transaction_at, t.explanation,
           t.related_transaction_id AS related,
           ARRAY(SELECT v.id FROM loyalty_transactions v WHERE v.related_transaction_id = t.id ORDER BY v.id)
               AS corrected_by, t.reason, t.order_reference, t.reward_id, t.reward_description,
           t.store_id, t.store_name, t.staff_pin_id, t.staff_name, t.terminal_device_id, t.principal_kind,
           t.principal_id, t.category_ids, t.purchase_amount_cents AS purchase_amount, t.purchase_currency,
           t.reward_cost, t.points_not_taken, t.ip_address, t.user_agent, t.notes, t.program_version
    FROM loyalty_transactions t
    WHERE t.card_id = (SELECT id FROM cards WHERE merchant_id = :merchant_id AND number = :number)
      AND t.seq < :before
      AND (CAST(:types AS text[]) IS NULL OR t.type = ANY(CAST(:types AS text[])))
      AND (CAST(:store AS text) IS NULL OR t.store_id = :store)
      AND (CAST(:staff AS text) IS NULL OR t.staff_pin_id = :staff)
      AND (CAST(:device AS text) IS NULL OR t.terminal_device_id = :device)
      AND (CAST(:order_reference AS text) IS NULL OR t.order_reference = :order_reference)
      AND (CAST(:since AS timestamptz) IS NULL OR t.transaction_at >= :since)
      AND (CAST(:until AS timestamptz) IS NULL OR t.transaction_at < :until)
    ORDER BY t.seq DESC LIMIT :limit
    """
)

_OF_EVENT = text(
    """
    SELECT t.id, c.number AS card, t.type, t.points_delta AS points, t.points_balance_after AS balance,
           t.stamps_delta AS stamps, t.stamps_balance_after AS stamps_balance, t.transaction_at
    FROM loyalty_transactions t JOIN cards c ON c.id = t.card_id
    WHERE t.inbox_id = :inbox_id ORDER BY t.id
    """
)


def card(tx: Tx, merchant_id: int, number: str, now: datetime) -> list[Any]:
    """A card with a row for each of its open lots (or one without a lot) and what is held of it at ``now``;
    no rows without a card."""
    return list(tx.execute(_CARD, {"merchant_id": merchant_id, "number": number, "now": now}))


def zone(tx: Tx, merchant_id: int, number: str) -> str | None:
    """The IANA zone of a card's program; None without a card."""
    found: str | None = tx.execute(
        text(
            "SELECT p.zone FROM cards c JOIN loyalty_programs p ON p.id = c.program_id"
            " WHERE c.merchant_id = :merchant_id AND c.number = :number"
        ),
        {"merchant_id": merchant_id, "number": number},
    ).scalar_one_or_none()
    return found


def history(
    tx: Tx, merchant_id: int, number: str, before: int, limit: int, only: Only = EVERYTHING
) -> list[Any]:
    """Rows of a card with a sequence number below ``before``, newest first; of them, those of ``only``.

    They are found by (card_id, seq): a filter looks through the rows of one card.
    """
    values = {
        "merchant_id": merchant_id,
        "number": number,
        "before": before,
        "limit": limit,
        "types": list(only.types) or None,
        "store": only.store,
        "staff": only.staff,
        "device": only.device,
        "order_reference": only.order_reference,
        "since": only.since,
        "until": only.until,
    }
    return list(tx.execute(_HISTORY, values))


def transactions_of(tx: Tx, inbox_id: int) -> list[Any]:
    """The transactions that an event made, in order, each with the balance after it."""
    return list(tx.execute(_OF_EVENT, {"inbox_id": inbox_id}))


def cards(
    tx: Tx, merchant_id: int, *, customer_id: str | None, after: str | None, limit: int
) -> list[Any]:
    """A merchant's cards above the number ``after``, by number; of one customer, or of all."""
    return list(
        tx.execute(
            text(
                """
                SELECT c.number, c.customer_id, p.key AS program, c.status, c.points_balance, c.points_debt,
                       c.stamps_balance, c.inactivity_deadline, c.last_activity_at
                FROM cards c JOIN loyalty_programs p ON p.id = c.program_id
                WHERE c.merchant_id = :merchant_id AND c.number > :after
                  AND (CAST(:customer_id AS text) IS NULL OR c.customer_id = :customer_id)
                ORDER BY c.number LIMIT :limit
                """
            ),
            {
                "merchant_id": merchant_id,
                "customer_id": customer_id,
                "after": after or "",
                "limit": limit,
            },
        )
    )


def find_card(tx: Tx, number_or_customer: str) -> list[Any]:
    """(merchant, number, customer_id) of cards of this number or customer, of any merchant."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.key AS merchant, c.number, c.customer_id FROM merchants m
                JOIN cards c ON c.merchant_id = m.id AND c.number = :wanted
                UNION
                SELECT m.key, c.number, c.customer_id FROM merchants m
                JOIN cards c ON c.merchant_id = m.id AND c.customer_id = :wanted
                LIMIT 20
                """
            ),
            {"wanted": number_or_customer},
        )
    )


def entries(tx: Tx, merchant_id: int, number: str, *, before: int | None, limit: int) -> list[Any]:
    """What happened on a card below the entry ``before`` (seq), newest first, each with its reasons."""
    return list(
        tx.execute(
            text(
                """
                SELECT t.seq, t.type, t.points_delta, t.points_balance_after, t.stamps_delta,
                       t.stamps_balance_after, t.inbox_id, t.order_reference, t.reason, t.explanation,
                       t.transaction_at, t.store_id, t.store_name, t.staff_pin_id, t.staff_name,
                       t.terminal_device_id, t.principal_id,
                       (SELECT r.seq FROM loyalty_transactions r
                        WHERE r.id = t.related_transaction_id AND r.card_id = t.card_id) AS corrects,
                       ARRAY(SELECT v.seq FROM loyalty_transactions v
                             WHERE v.related_transaction_id = t.id AND v.card_id = t.card_id ORDER BY v.seq)
                           AS corrected_by
                FROM loyalty_transactions t
                WHERE t.card_id = (SELECT id FROM cards WHERE merchant_id = :merchant_id AND number = :number)
                  AND (CAST(:before AS bigint) IS NULL OR t.seq < :before)
                ORDER BY t.seq DESC LIMIT :limit
                """
            ),
            {"merchant_id": merchant_id, "number": number, "before": before, "limit": limit},
        )
    )


def forecast(tx: Tx, merchant_id: int, now: datetime, until: datetime) -> list[Any]:
    """Points that expire from ``now`` until ``until`` if nothing happens: (program, week, points, cards).

    Over the cards whose timer is due by then. Where no version of a program gave lots deadlines, a card loses all its
    points at its own; elsewhere each lot goes at the earlier of its deadline and the card's.
    """
    return list(
        tx.execute(
            text(
                """
                WITH lotted AS MATERIALIZED (
                    SELECT p.id FROM loyalty_programs p WHERE p.merchant_id = :merchant_id AND EXISTS (
                        SELECT FROM loyalty_program_versions v WHERE v.program_id = p.id AND v.expiration <> '[]')
                ), deadlines AS (
                    SELECT c.program_id, date_trunc('week', c.inactivity_deadline, 'UTC') AS week,
                           sum(c.points_balance) AS points, count(*) AS cards
                    FROM cards c
                    WHERE c.merchant_id = :merchant_id AND c.expire_check_on <= :until AND c.points_balance > 0
                      AND c.program_id NOT IN (SELECT id FROM lotted)
                      AND c.inactivity_deadline >= :now AND c.inactivity_deadline < :until
                    GROUP BY 1, 2
                ), lots AS (
                    SELECT c.program_id, date_trunc('week', d.ends, 'UTC') AS week,
                           sum(l.remaining) AS points, count(DISTINCT c.id) AS cards
                    FROM cards c JOIN point_lots l ON l.card_id = c.id AND l.remaining > 0
                    CROSS JOIN LATERAL (SELECT least(l.expires_at, c.inactivity_deadline) AS ends) d
                    WHERE c.merchant_id = :merchant_id AND c.expire_check_on <= :until
                      AND (c.program_id IN (SELECT id FROM lotted) OR c.inactivity_deadline IS NULL)
                      AND d.ends >= :now AND d.ends < :until
                    GROUP BY 1, 2
                )
                SELECT p.key AS program, d.week, sum(d.points)::bigint AS points, sum(d.cards)::bigint AS cards
                FROM (TABLE deadlines UNION ALL TABLE lots) d JOIN loyalty_programs p ON p.id = d.program_id
                GROUP BY 1, 2 ORDER BY 2, 1
                """
            ),
            {"merchant_id": merchant_id, "now": now, "until": until},
        )
    )
