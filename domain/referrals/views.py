"""SQL by which people look referrals up, without locks."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

_BEFORE_ALL: Final = 2**63 - 1


def trackings(
    tx: Tx,
    merchant_id: int,
    *,
    user_id: str | None,
    before: tuple[datetime, int] | None,
    limit: int,
) -> list[Any]:
    """A merchant's trackings below ``before`` (converted_at, id): newest conversion first.

    Those of ``user_id``, who referred or was referred, come in the order of their arrival, newest first:
    somebody may have very many.
    """
    wanted: dict[str, Any] = {"merchant_id": merchant_id, "limit": limit}
    if user_id is not None:
        wanted |= {"user_id": user_id, "id": before[1] if before else _BEFORE_ALL}
        by_side = " UNION ".join(
            f"""
            (SELECT id FROM trackings WHERE merchant_id = :merchant_id AND {side} = :user_id AND id < :id
             ORDER BY id DESC LIMIT :limit)
            """  # noqa: S608 - constants of this function
            for side in ("referrer_user_id", "referred_user_id")
        )
        where, order = f"t.id IN ({by_side})", "t.id DESC"
    else:
        where, order = "t.merchant_id = :merchant_id", "t.converted_at DESC, t.id DESC"
        if before is not None:
            where += " AND (t.converted_at, t.id) < (:at, :id)"
            wanted |= {"at": before[0], "id": before[1]}
    return list(
        tx.execute(
            text(
                f"""
                SELECT t.id, t.inbox_id, t.referrer_user_id, t.referred_user_id, c.code, p.key AS program,
                       t.transaction_id, t.transaction_amount, t.amount_earned, t.referee_amount_earned,
                       t.currency, t.converted_at, t.reversed_amount, t.explanation
                FROM trackings t JOIN codes c ON c.id = t.code_id JOIN programs p ON p.id = t.program_id
                WHERE {where} ORDER BY {order} LIMIT :limit
                """  # noqa: S608 - as above
            ),
            wanted,
        )
    )


def code(tx: Tx, name: str) -> list[Any]:
    """(merchant, code, user_id) of codes of this name, of any merchant."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.key AS merchant, c.code, c.user_id FROM merchants m
                JOIN codes c ON c.merchant_id = m.id AND c.code = :name ORDER BY 1 LIMIT 20
                """
            ),
            {"name": name},
        )
    )


def codes(
    tx: Tx,
    merchant_id: int,
    *,
    name: str | None,
    user_id: str | None,
    before: int | None,
    limit: int,
) -> list[Any]:
    """A merchant's codes with an id below ``before``, newest first."""
    wanted = {"name": name, "user_id": user_id, "before": before}
    clauses = {
        "name": "c.code = :name",
        "user_id": "c.user_id = :user_id",
        "before": "c.id < :before",
    }
    used = {key: value for key, value in wanted.items() if value is not None}
    where = " AND ".join(["c.merchant_id = :merchant_id", *(clauses[key] for key in used)])
    return list(
        tx.execute(
            text(
                f"""
                SELECT c.id, c.code, c.user_id, p.key AS program, c.status, c.max_uses, c.uses, c.expires_at
                FROM codes c JOIN programs p ON p.id = c.program_id
                WHERE {where} ORDER BY c.id DESC LIMIT :limit
                """  # noqa: S608 - as above
            ),
            used | {"merchant_id": merchant_id, "limit": limit},
        )
    )


def transaction(tx: Tx, transaction_id: str) -> list[Any]:
    """(merchant, inbox_id, transaction_id) of the conversions of a transaction, of any merchant."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.key AS merchant, t.inbox_id, t.transaction_id FROM merchants m
                JOIN trackings t ON t.merchant_id = m.id AND t.transaction_id = :transaction_id LIMIT 20
                """
            ),
            {"transaction_id": transaction_id},
        )
    )


def user(tx: Tx, user_id: str) -> list[str]:
    """Keys of the merchants for whom a user referred or was referred."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.key FROM merchants m
                WHERE EXISTS (SELECT FROM trackings t WHERE t.merchant_id = m.id
                              AND t.referrer_user_id = :user_id)
                   OR EXISTS (SELECT FROM trackings t WHERE t.merchant_id = m.id
                              AND t.referred_user_id = :user_id)
                ORDER BY 1 LIMIT 20
                """
            ),
            {"user_id": user_id},
        ).scalars()
    )
