"""SQL of restoring expired points."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx

_EXPIRED = text(
    """
    SELECT t.id, t.card_id, t.seq,
           (-t.points_delta - coalesce((
               SELECT sum(r.points_delta) FROM loyalty_transactions r WHERE r.related_transaction_id = t.id
           ), 0))::bigint AS left
    FROM (
        SELECT id FROM cards WHERE id = :card_id UNION ALL SELECT id FROM cards WHERE merged_into_id = :card_id
    ) c
    JOIN loyalty_transactions t ON t.card_id = c.id
    WHERE t.type = 'points_expired'
    ORDER BY t.id
    """
)

_CLAIM = text(
    """
    INSERT INTO point_restores (merchant_id, request_id, card_id, asked, points, expires_at, reason, restored_at)
    VALUES (:merchant_id, :request_id, :card_id, :asked, :points, :expires_at, :reason, :restored_at)
    """
)


def expired(tx: Tx, card_id: int) -> list[Any]:
    """Expiries of a locked card and of those merged into it: id, card_id, seq and what is left to restore."""
    return list(tx.execute(_EXPIRED, {"card_id": card_id}))


def keep(tx: Tx, **values: Any) -> None:
    """Keep a restore under the name that its request gave it."""
    tx.execute(_CLAIM, values)


def made(tx: Tx, merchant_id: int, request_id: str) -> Any | None:
    """The restore of this name, with the card that has it now: card, asked, points, expires_at; or None."""
    return tx.execute(
        text(
            """
            SELECT coalesce(c.merged_into_id, c.id) AS card_id, r.asked, r.points, r.expires_at
            FROM point_restores r JOIN cards c ON c.id = r.card_id
            WHERE r.merchant_id = :merchant_id AND r.request_id = :request_id
            """
        ),
        {"merchant_id": merchant_id, "request_id": request_id},
    ).one_or_none()
