"""SQL of recipients at Wise."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def of_payee(tx: Tx, merchant_id: int, user_id: str, profile: str) -> list[Any]:
    """The recipients that were made for a payee and a profile, newest first."""
    return list(
        tx.execute(
            text(
                """
                SELECT r.data_encrypted, r.external_id
                FROM payee_recipients r JOIN payees y ON y.id = r.payee_id
                WHERE y.merchant_id = :merchant_id AND y.user_id = :user_id
                      AND r.merchant_id = :merchant_id AND r.method = 'wise' AND r.platform_account = :profile
                ORDER BY r.id DESC
                """
            ),
            {"merchant_id": merchant_id, "user_id": user_id, "profile": profile},
        )
    )


def insert(
    tx: Tx,
    *,
    merchant_id: int,
    payee_id: int,
    data: bytes,
    hint: str,
    fingerprint: bytes,
    by: str,
    external_id: str,
    profile: str,
) -> None:
    """Keep a recipient, encrypted, with its number at Wise."""
    tx.execute(
        text(
            """
            INSERT INTO payee_recipients (merchant_id, payee_id, method, data_encrypted, hint, fingerprint,
                                          created_by, external_id, platform_account)
            VALUES (:merchant_id, :payee_id, 'wise', :data, :hint, :fingerprint, :by, :external_id, :profile)
            """
        ),
        {
            "merchant_id": merchant_id,
            "payee_id": payee_id,
            "data": data,
            "hint": hint,
            "fingerprint": fingerprint,
            "by": by,
            "external_id": external_id,
            "profile": profile,
        },
    )
