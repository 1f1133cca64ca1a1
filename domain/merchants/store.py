"""All SQL of merchants and gateway accounts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from domain.db import Tx


def insert(tx: Tx, key: str, name: str, mode: str) -> int | None:
    """Add a merchant; None if the key is taken."""
    made: int | None = tx.execute(
        text(
            """
            INSERT INTO merchants (key, name, mode) VALUES (:key, :name, :mode)
            ON CONFLICT (key) DO NOTHING RETURNING id
            """
        ),
        {"key": key, "name": name, "mode": mode},
    ).scalar()
    return made


def by_keys(tx: Tx, keys: Sequence[str]) -> list[Any]:
    """Merchants by key: id, key, name, mode, retired_at."""
    return list(
        tx.execute(
            text("SELECT id, key, name, mode, retired_at FROM merchants WHERE key = ANY(:keys)"),
            {"keys": list(keys)},
        )
    )


def listing(tx: Tx) -> list[Any]:
    """All merchants with their gateway accounts' methods, by key."""
    return list(
        tx.execute(
            text(
                """
                SELECT m.id, m.key, m.name, m.mode, m.retired_at,
                       coalesce(array_agg(g.method ORDER BY g.method)
                                FILTER (WHERE g.retired_at IS NULL AND g.id IS NOT NULL), '{}') AS methods,
                       max(g.platform_account) FILTER (WHERE g.method = 'stripe') AS stripe_account,
                       coalesce(bool_or(g.bank_leg), false) AS stripe_bank_leg,
                       max(g.api_key_hint) FILTER (WHERE g.method = 'stripe') AS stripe_key
                FROM merchants m LEFT JOIN gateway_accounts g ON g.merchant_id = m.id
                GROUP BY m.id ORDER BY m.key
                """
            )
        )
    )


def upsert_gateway_account(tx: Tx, **account: Any) -> None:
    """Set a merchant's gateway account for a method."""
    tx.execute(
        text(
            """
            INSERT INTO gateway_accounts (merchant_id, mode, method, base_url, api_key_encrypted,
                                          webhook_secret_encrypted, api_key_hint, platform_account)
            VALUES (:merchant_id, :mode, :method, :base_url, :api_key, :webhook_secret, :hint,
                    :platform_account)
            ON CONFLICT (merchant_id, method) DO UPDATE SET
                base_url = excluded.base_url, api_key_encrypted = excluded.api_key_encrypted,
                webhook_secret_encrypted = excluded.webhook_secret_encrypted,
                api_key_hint = excluded.api_key_hint, platform_account = excluded.platform_account,
                retired_at = NULL
            """
        ),
        account,
    )


def gateway_account(tx: Tx, merchant_id: int, method: str) -> Any:
    """A merchant's active gateway account for a method, or None."""
    return tx.execute(
        text(
            """
            SELECT * FROM gateway_accounts
            WHERE merchant_id = :merchant_id AND method = :method AND retired_at IS NULL
            """
        ),
        {"merchant_id": merchant_id, "method": method},
    ).one_or_none()


def lock_gateway_account(tx: Tx, merchant_id: int, method: str) -> Any:
    """A merchant's gateway account for a method, retired or not, locked; or None."""
    return tx.execute(
        text(
            """
            SELECT * FROM gateway_accounts
            WHERE merchant_id = :merchant_id AND method = :method FOR NO KEY UPDATE
            """
        ),
        {"merchant_id": merchant_id, "method": method},
    ).one_or_none()


def set_webhook_secret(tx: Tx, account_id: int, secret: bytes) -> None:
    """Replace the secret by which a gateway signs."""
    tx.execute(
        text("UPDATE gateway_accounts SET webhook_secret_encrypted = :secret WHERE id = :id"),
        {"id": account_id, "secret": secret},
    )


def set_bank_leg(tx: Tx, account_id: int, on: bool) -> None:
    """Choose whether new payouts go on to a bank."""
    tx.execute(
        text("UPDATE gateway_accounts SET bank_leg = :on WHERE id = :id"),
        {"id": account_id, "on": on},
    )


def learn_platform_account(tx: Tx, account_id: int, account: str) -> None:
    """Keep whose key it is, if it is not known yet."""
    tx.execute(
        text(
            """
            UPDATE gateway_accounts SET platform_account = :account
            WHERE id = :id AND platform_account IS NULL
            """
        ),
        {"id": account_id, "account": account},
    )


def lock_gateway_accounts(tx: Tx) -> list[Any]:
    """Every gateway account, retired ones included, with its secrets; locked in id order."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, method, api_key_encrypted, webhook_secret_encrypted
                FROM gateway_accounts ORDER BY id FOR UPDATE
                """
            )
        )
    )


def set_secrets(tx: Tx, account_id: int, api_key: bytes, webhook_secret: bytes | None) -> None:
    """Write a gateway account's secrets, encrypted again."""
    tx.execute(
        text(
            """
            UPDATE gateway_accounts SET api_key_encrypted = :api_key,
                   webhook_secret_encrypted = :webhook_secret WHERE id = :id
            """
        ),
        {"id": account_id, "api_key": api_key, "webhook_secret": webhook_secret},
    )
