"""All SQL of API keys."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def insert(tx: Tx, **key: Any) -> int:
    """Add a key by its hash."""
    made: int = tx.execute(
        text(
            """
            INSERT INTO api_keys (merchant_id, mode, name, prefix, secret_hash, scopes)
            SELECT id, mode, :name, :prefix, :secret_hash, CAST(:scopes AS text[]) FROM merchants
            WHERE id = :merchant_id RETURNING id
            """
        ),
        key,
    ).scalar_one()
    return made


def by_hash(tx: Tx, secret_hash: bytes) -> Any:
    """The key of a hash with its merchant, or None; revoked ones are not found."""
    return tx.execute(
        text(
            """
            SELECT k.id, k.name, k.scopes, k.mode, m.id AS merchant_id, m.key AS merchant_key
            FROM api_keys k JOIN merchants m ON m.id = k.merchant_id
            WHERE k.secret_hash = :secret_hash AND k.revoked_at IS NULL AND m.retired_at IS NULL
            """
        ),
        {"secret_hash": secret_hash},
    ).one_or_none()


def listing(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's keys, newest first; never the secret."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, name, prefix, scopes, mode, created_at, revoked_at FROM api_keys
                WHERE merchant_id = :merchant_id ORDER BY id DESC
                """
            ),
            {"merchant_id": merchant_id},
        )
    )


def revoke(tx: Tx, merchant_id: int, key_id: int) -> bool:
    """Revoke a key; False if there is none, or it was revoked before."""
    return (
        tx.execute(
            text(
                """
                UPDATE api_keys SET revoked_at = clock_timestamp()
                WHERE merchant_id = :merchant_id AND id = :id AND revoked_at IS NULL
                """
            ),
            {"merchant_id": merchant_id, "id": key_id},
        ).rowcount
        == 1
    )
