"""SQL of the accounts that bank files are paid from."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def lock(tx: Tx, merchant_id: int) -> None:
    """Lock a merchant, so that two who set an account do it one after the other."""
    tx.execute(
        text("SELECT id FROM merchants WHERE id = :id FOR NO KEY UPDATE"), {"id": merchant_id}
    )


def insert(tx: Tx, *, merchant_id: int, currency: str, data: bytes, hint: str, by: str) -> None:
    """Keep an account, encrypted; it counts from now on."""
    tx.execute(
        text(
            """
            INSERT INTO debtor_accounts (merchant_id, currency, data_encrypted, hint, created_by)
            VALUES (:merchant_id, :currency, :data, :hint, :by)
            """
        ),
        {
            "merchant_id": merchant_id,
            "currency": currency,
            "data": data,
            "hint": hint,
            "by": by,
        },
    )


def in_force(tx: Tx, merchant_id: int) -> list[Any]:
    """The account of a merchant in each currency, by currency."""
    return list(
        tx.execute(
            text(
                """
                SELECT DISTINCT ON (currency) id, currency, data_encrypted, hint, created_by, created_at
                FROM debtor_accounts WHERE merchant_id = :merchant_id ORDER BY currency, id DESC
                """
            ),
            {"merchant_id": merchant_id},
        )
    )


def lock_all(tx: Tx) -> list[Any]:
    """Every account, locked in id order."""
    return list(
        tx.execute(text("SELECT id, data_encrypted FROM debtor_accounts ORDER BY id FOR UPDATE"))
    )


def set_data(tx: Tx, account_id: int, data: bytes) -> None:
    """Write an account's data, encrypted again."""
    tx.execute(
        text("UPDATE debtor_accounts SET data_encrypted = :data WHERE id = :id"),
        {"id": account_id, "data": data},
    )
