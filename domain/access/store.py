"""All SQL of API keys."""

from typing import Any

from sqlalchemy import text

from domain.db import Tx


def insert(tx: Tx, **key: Any) -> int:
    """Add a key by its hash."""
    made: int = tx.execute(
        text(
            """
            INSERT INTO api_keys (merchant_id, mode, name, prefix, secret_hash, scopes, rate_per_second,
                                  expires_at)
            SELECT id, mode, :name, :prefix, :secret_hash, CAST(:scopes AS text[]), :rate_per_second,
                   :expires_at
            FROM merchants WHERE id = :merchant_id RETURNING id
            """
        ),
        key,
    ).scalar_one()
    return made


def by_hash(tx: Tx, secret_hash: bytes) -> Any:
    """The key of a hash with its merchant, or None; revoked and expired ones are not found.

    ``used_lately``: whether its last use is on record to the minute.
    """
    return tx.execute(
        text(
            """
            SELECT k.id, k.name, k.scopes, k.mode, k.rate_per_second,
                   m.id AS merchant_id, m.key AS merchant_key,
                   coalesce(k.last_used_at > clock_timestamp() - interval '1 minute', false) AS used_lately
            FROM api_keys k JOIN merchants m ON m.id = k.merchant_id
            WHERE k.secret_hash = :secret_hash AND k.revoked_at IS NULL AND m.retired_at IS NULL
              AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
            """
        ),
        {"secret_hash": secret_hash},
    ).one_or_none()


def note_use(tx: Tx, key_id: int) -> None:
    """Record that a key was used now; nobody waits for another who records the same."""
    tx.execute(
        text(
            """
            UPDATE api_keys SET last_used_at = clock_timestamp()
            WHERE id = (SELECT id FROM api_keys WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED)
            """
        ),
        {"id": key_id},
    )


def listing(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's keys, newest first, with what each is now: good, expired or revoked; never the secret."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, name, prefix, scopes, mode, rate_per_second, created_at, expires_at,
                       last_used_at, revoked_at,
                       CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
                            WHEN expires_at <= clock_timestamp() THEN 'expired' ELSE 'good' END AS status
                FROM api_keys WHERE merchant_id = :merchant_id ORDER BY id DESC
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
