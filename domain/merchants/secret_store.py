"""SQL of the signing secrets beside an account's own: of its Connect endpoint, and those of a roll."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def valid(tx: Tx, account_id: int) -> list[bytes]:
    """The secrets, encrypted, that are valid beside the account's own; by the real clock."""
    return list(
        tx.execute(
            text(
                """
                SELECT secret_encrypted FROM webhook_secrets
                WHERE gateway_account_id = :id AND (expires_at IS NULL OR expires_at > clock_timestamp())
                ORDER BY id
                """
            ),
            {"id": account_id},
        ).scalars()
    )


def add(tx: Tx, account_id: int, kind: str, secret: bytes, lasts: timedelta | None) -> None:
    """Keep a secret that is valid for so long, or (None) until it is replaced."""
    tx.execute(
        text(
            """
            INSERT INTO webhook_secrets (gateway_account_id, kind, secret_encrypted, expires_at)
            VALUES (:id, :kind, :secret, clock_timestamp() + CAST(:lasts AS interval))
            """
        ),
        {"id": account_id, "kind": kind, "secret": secret, "lasts": lasts},
    )


def expire(tx: Tx, account_id: int, kind: str, within: timedelta) -> None:
    """Let an account's secrets of a kind end within this time at the latest; what ended is removed."""
    tx.execute(
        text(
            """
            UPDATE webhook_secrets
            SET expires_at = least(expires_at, clock_timestamp() + CAST(:within AS interval))
            WHERE gateway_account_id = :id AND kind = :kind
            """
        ),
        {"id": account_id, "kind": kind, "within": within},
    )
    tx.execute(
        text(
            "DELETE FROM webhook_secrets WHERE gateway_account_id = :id AND expires_at <= clock_timestamp()"
        ),
        {"id": account_id},
    )


def lock_all(tx: Tx) -> list[Any]:
    """Every secret, locked in id order."""
    return list(
        tx.execute(text("SELECT id, secret_encrypted FROM webhook_secrets ORDER BY id FOR UPDATE"))
    )


def replace(tx: Tx, secret_id: int, secret: bytes) -> None:
    """Write a secret, encrypted again."""
    tx.execute(
        text("UPDATE webhook_secrets SET secret_encrypted = :secret WHERE id = :id"),
        {"id": secret_id, "secret": secret},
    )
