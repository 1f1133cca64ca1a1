"""SQL of endpoints."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from domain.db import Tx

COLUMNS = """
    id, merchant_id, url, description, types, state, failures, failing_since, quiet_until, disabled_at,
    disabled_by, disabled_reason, created_at, old_secret_until
"""


def lock_merchant(tx: Tx, merchant_id: int) -> None:
    """Let nobody else count or add endpoints of a merchant meanwhile."""
    tx.execute(
        text("SELECT FROM merchants WHERE id = :id FOR NO KEY UPDATE"), {"id": merchant_id}
    ).one()


def count(tx: Tx, merchant_id: int) -> int:
    """Endpoints that a merchant has, removed ones left out."""
    found: int = tx.execute(
        text(
            "SELECT count(*) FROM webhook_endpoints WHERE merchant_id = :id AND state <> 'removed'"
        ),
        {"id": merchant_id},
    ).scalar_one()
    return found


def insert(
    tx: Tx, merchant_id: int, url: str, description: str, types: Sequence[str], secret: bytes
) -> int:
    """Add an endpoint; returns its id."""
    made: int = tx.execute(
        text(
            """
            INSERT INTO webhook_endpoints (merchant_id, url, description, types, secret_encrypted)
            VALUES (:merchant_id, :url, :description, :types, :secret) RETURNING id
            """
        ),
        {
            "merchant_id": merchant_id,
            "url": url,
            "description": description,
            "types": list(types),
            "secret": secret,
        },
    ).scalar_one()
    return made


def listing(tx: Tx, merchant_id: int | None, endpoint_id: int | None = None) -> list[Any]:
    """Endpoints of a merchant (None: of all) that are not removed, or one of them, with what waits for each
    and what failed, counted up to 10,000."""
    return list(
        tx.execute(
            text(
                f"""
                SELECT e.*, m.key AS merchant, m.mode, d.pending, d.failed
                FROM (SELECT {COLUMNS} FROM webhook_endpoints WHERE state <> 'removed'
                      AND (CAST(:merchant_id AS bigint) IS NULL OR merchant_id = :merchant_id)
                      AND (CAST(:id AS bigint) IS NULL OR id = :id)) e
                JOIN merchants m ON m.id = e.merchant_id
                CROSS JOIN LATERAL (
                    SELECT (SELECT count(*) FROM (SELECT FROM webhook_deliveries
                            WHERE endpoint_id = e.id AND state = 'pending' LIMIT 10000) p) AS pending,
                           (SELECT count(*) FROM (SELECT FROM webhook_deliveries
                            WHERE endpoint_id = e.id AND state = 'failed' LIMIT 10000) f) AS failed
                ) d
                ORDER BY m.key, e.id LIMIT 1000
                """  # noqa: S608
            ),
            {"merchant_id": merchant_id, "id": endpoint_id},
        )
    )


def find(tx: Tx, merchant_id: int, endpoint_id: int, *, lock: bool = False) -> Any:
    """An endpoint of a merchant that is not removed, or None."""
    return tx.execute(
        text(
            f"SELECT {COLUMNS}, secret_encrypted FROM webhook_endpoints"  # noqa: S608
            " WHERE id = :id AND merchant_id = :merchant_id AND state <> 'removed'"
            + (" FOR NO KEY UPDATE" if lock else "")
        ),
        {"id": endpoint_id, "merchant_id": merchant_id},
    ).one_or_none()


def change(tx: Tx, endpoint_id: int, description: str, types: Sequence[str]) -> None:
    """Write what an endpoint is told of, and what it is for."""
    tx.execute(
        text("UPDATE webhook_endpoints SET description = :d, types = :types WHERE id = :id"),
        {"id": endpoint_id, "d": description, "types": list(types)},
    )


def roll(tx: Tx, endpoint_id: int, secret: bytes, overlap: timedelta) -> None:
    """Put another secret in the place of the present one, which signs too for ``overlap``."""
    tx.execute(
        text(
            """
            UPDATE webhook_endpoints SET secret_encrypted = :secret,
                old_secret_encrypted = CASE WHEN CAST(:overlap AS interval) > interval '0' THEN secret_encrypted END,
                old_secret_until = CASE WHEN CAST(:overlap AS interval) > interval '0'
                                        THEN clock_timestamp() + CAST(:overlap AS interval) END
            WHERE id = :id
            """
        ),
        {"id": endpoint_id, "secret": secret, "overlap": overlap},
    )


def stop(tx: Tx, endpoint_id: int, state: str, by: str, reason: str) -> None:
    """Disable or remove an endpoint."""
    tx.execute(
        text(
            """
            UPDATE webhook_endpoints SET state = :state, disabled_at = clock_timestamp(), disabled_by = :by,
                disabled_reason = left(:reason, 500) WHERE id = :id
            """
        ),
        {"id": endpoint_id, "state": state, "by": by, "reason": reason},
    )


def enable(tx: Tx, endpoint_id: int) -> None:
    """Let an endpoint be sent to again, as if it had never failed."""
    tx.execute(
        text(
            """
            UPDATE webhook_endpoints SET state = 'enabled', disabled_at = NULL, disabled_by = NULL,
                disabled_reason = NULL, failures = 0, failing_since = NULL, quiet_until = NULL
            WHERE id = :id
            """
        ),
        {"id": endpoint_id},
    )


def succeeded(tx: Tx, endpoint_id: int) -> None:
    """It answered well: what failed before is over."""
    tx.execute(
        text(
            """
            UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, quiet_until = NULL
            WHERE id = :id AND failures > 0
            """
        ),
        {"id": endpoint_id},
    )


def failed(tx: Tx, endpoint_id: int, quiet_seconds: float) -> float:
    """It failed once more: leave it alone for a while. Returns for how many days it has been failing."""
    days: float = tx.execute(
        text(
            """
            UPDATE webhook_endpoints SET failures = failures + 1,
                failing_since = coalesce(failing_since, clock_timestamp()),
                quiet_until = clock_timestamp() + :quiet * interval '1 second'
            WHERE id = :id
            RETURNING extract(epoch FROM clock_timestamp() - failing_since)::float8 / 86400
            """
        ),
        {"id": endpoint_id, "quiet": quiet_seconds},
    ).scalar_one()
    return days


def lock_secrets(tx: Tx) -> list[Any]:
    """Every endpoint's secrets, locked in id order."""
    return list(
        tx.execute(
            text(
                "SELECT id, secret_encrypted, old_secret_encrypted FROM webhook_endpoints ORDER BY id FOR NO KEY UPDATE"
            )
        )
    )


def replace_secrets(tx: Tx, endpoint_id: int, secret: bytes, old: bytes | None) -> None:
    """Write an endpoint's secrets, encrypted again."""
    tx.execute(
        text(
            "UPDATE webhook_endpoints SET secret_encrypted = :secret, old_secret_encrypted = :old WHERE id = :id"
        ),
        {"id": endpoint_id, "secret": secret, "old": old},
    )


def stopped_by_themselves(tx: Tx, limit: int) -> list[Any]:
    """Endpoints that nobody disabled but their failing: a person has to look."""
    return list(
        tx.execute(
            text(
                """
                SELECT e.id, e.url, e.disabled_at, e.disabled_reason, m.key AS merchant
                FROM webhook_endpoints e JOIN merchants m ON m.id = e.merchant_id
                WHERE e.state = 'disabled' AND e.disabled_by = 'courier'
                ORDER BY e.disabled_at DESC LIMIT :limit
                """
            ),
            {"limit": limit},
        )
    )
