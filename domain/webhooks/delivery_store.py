"""SQL of events, deliveries and attempts."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.db import Tx

_DUE = text(
    """
    SELECT e.id FROM webhook_endpoints e
    CROSS JOIN LATERAL (
        SELECT due_at FROM webhook_deliveries
        WHERE endpoint_id = e.id AND state = 'pending' ORDER BY due_at LIMIT 1
    ) d
    WHERE e.state = 'enabled' AND (e.quiet_until IS NULL OR e.quiet_until <= clock_timestamp())
      AND d.due_at <= clock_timestamp()
    ORDER BY d.due_at, e.id LIMIT :limit
    """
)

_LOCK = text(
    """
    SELECT e.id, e.url, e.merchant_id, e.secret_encrypted, e.failures,
           CASE WHEN e.old_secret_until > clock_timestamp() THEN e.old_secret_encrypted END AS old_secret_encrypted,
           m.key AS merchant, m.mode,
           (SELECT count(*) FROM webhook_deliveries d
            WHERE d.endpoint_id = e.id AND d.claimed_until > clock_timestamp()) AS in_flight
    FROM webhook_endpoints e JOIN merchants m ON m.id = e.merchant_id
    WHERE e.id = :id AND e.state = 'enabled'
      AND (e.quiet_until IS NULL OR e.quiet_until <= clock_timestamp())
    FOR NO KEY UPDATE OF e
    """
)

_CLAIM = text(
    """
    UPDATE webhook_deliveries d SET claim = claim + 1, tries = tries + 1,
        claimed_until = clock_timestamp() + :lease * interval '1 second',
        due_at = clock_timestamp() + :lease * interval '1 second'
    FROM (SELECT id FROM webhook_deliveries
          WHERE endpoint_id = :endpoint AND state = 'pending' AND due_at <= clock_timestamp()
          ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) next, webhook_events v
    WHERE d.id = next.id AND v.id = d.event_id
    RETURNING d.id, d.claim, d.tries, v.uid, v.type, v.data, v.created_at, clock_timestamp() AS now
    """
)

_EVENT = """
    SELECT d.*, v.uid, v.type, v.data, v.created_at AS event_at, e.url, m.key AS merchant, m.mode
    FROM webhook_deliveries d JOIN webhook_events v ON v.id = d.event_id
    JOIN webhook_endpoints e ON e.id = d.endpoint_id JOIN merchants m ON m.id = d.merchant_id
"""


def endpoints_due(tx: Tx, limit: int) -> list[int]:
    """Endpoints for which something is due, longest first."""
    return list(tx.execute(_DUE, {"limit": limit}).scalars())


def lock_endpoint(tx: Tx, endpoint_id: int) -> Any:
    """An endpoint that may be sent to now, locked, with how much of it is in flight; None otherwise."""
    return tx.execute(_LOCK, {"id": endpoint_id}).one_or_none()


def claim(tx: Tx, endpoint_id: int, lease_seconds: float) -> Any:
    """Take what is due first, for so long; None if nothing is. The endpoint is locked by ``lock_endpoint``."""
    return tx.execute(_CLAIM, {"endpoint": endpoint_id, "lease": lease_seconds}).one_or_none()


def customer_of(tx: Tx, merchant_id: int, card: str) -> str | None:
    """Whose card it is; None once they are anonymized."""
    found: str | None = tx.execute(
        text(
            """
            SELECT customer_id FROM cards
            WHERE merchant_id = :merchant_id AND number = :card AND anonymized_at IS NULL
            """
        ),
        {"merchant_id": merchant_id, "card": card},
    ).scalar()
    return found


def log_attempt(tx: Tx, delivery_id: int, **attempt: Any) -> None:
    """Append what an attempt came to."""
    tx.execute(
        text(
            """
            INSERT INTO webhook_attempts (delivery_id, outcome, status, milliseconds, error, response, sent_at)
            VALUES (:delivery_id, :outcome, :status, :milliseconds, left(:error, 300), left(:response, 1000), :sent_at)
            """
        ),
        {"delivery_id": delivery_id} | attempt,
    )


def settle(
    tx: Tx, delivery_id: int, claim: int, state: str, status: int | None, error: str | None
) -> bool:
    """End a delivery, if it is still this claim's; False if somebody else has it by now."""
    return (
        tx.execute(
            text(
                """
                UPDATE webhook_deliveries SET state = :state, settled_at = clock_timestamp(), claimed_until = NULL,
                    status = :status, error = left(:error, 300)
                WHERE id = :id AND state = 'pending' AND (claim = :claim OR :state = 'delivered')
                """
            ),
            {"id": delivery_id, "claim": claim, "state": state, "status": status, "error": error},
        ).rowcount
        == 1
    )


def put_off(
    tx: Tx, delivery_id: int, claim: int, seconds: float, status: int | None, error: str | None
) -> bool:
    """Try a delivery again after so many seconds, if it is still this claim's."""
    return (
        tx.execute(
            text(
                """
                UPDATE webhook_deliveries SET claimed_until = NULL, status = :status, error = left(:error, 300),
                    due_at = clock_timestamp() + :seconds * interval '1 second'
                WHERE id = :id AND state = 'pending' AND claim = :claim
                """
            ),
            {
                "id": delivery_id,
                "claim": claim,
                "seconds": seconds,
                "status": status,
                "error": error,
            },
        ).rowcount
        == 1
    )


def cancel_pending(tx: Tx, endpoint_id: int) -> int:
    """End what waits for an endpoint that is removed."""
    return tx.execute(
        text(
            """
            UPDATE webhook_deliveries SET state = 'canceled', settled_at = clock_timestamp(), claimed_until = NULL
            WHERE endpoint_id = :id AND state = 'pending'
            """
        ),
        {"id": endpoint_id},
    ).rowcount


def hasten(tx: Tx, endpoint_id: int) -> None:
    """Let what waits for an endpoint be due now; what is in flight stays so."""
    tx.execute(
        text(
            """
            UPDATE webhook_deliveries SET due_at = clock_timestamp()
            WHERE endpoint_id = :id AND state = 'pending' AND due_at > clock_timestamp()
              AND (claimed_until IS NULL OR claimed_until <= clock_timestamp())
            """
        ),
        {"id": endpoint_id},
    )


def insert_for(
    tx: Tx, endpoint_id: int, merchant_id: int, type_: str, data: Mapping[str, Any]
) -> int:
    """An event for one endpoint alone; returns the delivery's id."""
    made: int = tx.execute(
        text(
            """
            WITH event AS (
                INSERT INTO webhook_events (merchant_id, type, data)
                VALUES (:merchant_id, :type, CAST(:data AS jsonb)) RETURNING id
            )
            INSERT INTO webhook_deliveries (merchant_id, endpoint_id, event_id)
            SELECT :merchant_id, :endpoint_id, id FROM event RETURNING id
            """
        ),
        {
            "merchant_id": merchant_id,
            "endpoint_id": endpoint_id,
            "type": type_,
            "data": json.dumps(data),
        },
    ).scalar_one()
    return made


def wake(tx: Tx) -> None:
    """Wake the couriers at the commit."""
    tx.execute(text("NOTIFY payspool_webhooks"))


def again(tx: Tx, delivery_id: int) -> bool:
    """Begin a new round of a delivery that is settled; False if it is not."""
    return (
        tx.execute(
            text(
                """
                UPDATE webhook_deliveries SET state = 'pending', tries = 0, due_at = clock_timestamp(),
                    settled_at = NULL WHERE id = :id AND state <> 'pending'
                """
            ),
            {"id": delivery_id},
        ).rowcount
        == 1
    )


def failed_again(tx: Tx, endpoint_id: int, since: datetime, limit: int) -> int:
    """Begin a new round of an endpoint's failed deliveries since a time, oldest first, so many at most."""
    return tx.execute(
        text(
            """
            UPDATE webhook_deliveries SET state = 'pending', tries = 0, due_at = clock_timestamp(), settled_at = NULL
            WHERE id IN (
                SELECT id FROM webhook_deliveries
                WHERE endpoint_id = :id AND state = 'failed' AND created_at >= :since
                ORDER BY created_at, id LIMIT :limit FOR UPDATE
            )
            """
        ),
        {"id": endpoint_id, "since": since, "limit": limit},
    ).rowcount


def listing(
    tx: Tx,
    merchant_id: int | None,
    *,
    endpoint_id: int | None,
    state: str | None,
    type_: str | None,
    before: int | None,
    limit: int,
) -> list[Any]:
    """Deliveries, newest first: of a merchant (None: of all), below an id."""
    return list(
        tx.execute(
            text(
                f"""{_EVENT}
                WHERE (CAST(:merchant_id AS bigint) IS NULL OR d.merchant_id = :merchant_id)
                  AND (CAST(:endpoint_id AS bigint) IS NULL OR d.endpoint_id = :endpoint_id)
                  AND (CAST(:state AS text) IS NULL OR d.state = :state)
                  AND (CAST(:type AS text) IS NULL OR v.type = :type)
                  AND (CAST(:before AS bigint) IS NULL OR d.id < :before)
                ORDER BY d.id DESC LIMIT :limit
                """
            ),
            {
                "merchant_id": merchant_id,
                "endpoint_id": endpoint_id,
                "state": state,
                "type": type_,
                "before": before,
                "limit": limit,
            },
        )
    )


def find(tx: Tx, merchant_id: int, delivery_id: int, *, lock: bool = False) -> Any:
    """A delivery of a merchant with its event and endpoint, or None."""
    return tx.execute(
        text(
            f"{_EVENT} WHERE d.id = :id AND d.merchant_id = :merchant_id"
            + (" FOR UPDATE OF d" if lock else "")
        ),
        {"id": delivery_id, "merchant_id": merchant_id},
    ).one_or_none()


def attempts(tx: Tx, delivery_id: int) -> list[Any]:
    """What was tried of a delivery, oldest first: the newest 100."""
    rows = tx.execute(
        text("SELECT * FROM webhook_attempts WHERE delivery_id = :id ORDER BY id DESC LIMIT 100"),
        {"id": delivery_id},
    )
    return list(rows)[::-1]


def forget(tx: Tx, merchant_id: int, card: str) -> int:
    """Empty what receivers answered to events of a card: they may have named its customer."""
    return tx.execute(
        text(
            """
            UPDATE webhook_attempts SET response = NULL WHERE response IS NOT NULL AND delivery_id IN (
                SELECT d.id FROM webhook_events v JOIN webhook_deliveries d ON d.event_id = v.id
                WHERE v.merchant_id = :merchant_id AND v.data ? 'card' AND v.data ->> 'card' = :card)
            """
        ),
        {"merchant_id": merchant_id, "card": card},
    ).rowcount


def prune(tx: Tx, days: int, limit: int) -> int:
    """Remove events older than so many days with their deliveries, unless one is still pending for an
    endpoint that is enabled; ``limit`` at most. Returns how many events."""
    old = list(
        tx.execute(
            text(
                """
                SELECT v.id FROM webhook_events v
                WHERE v.created_at < clock_timestamp() - :days * interval '1 day'
                  AND NOT EXISTS (
                      SELECT FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id
                      WHERE d.event_id = v.id AND d.state = 'pending' AND e.state = 'enabled')
                ORDER BY v.created_at LIMIT :limit
                """
            ),
            {"days": days, "limit": limit},
        ).scalars()
    )
    for statement in _REMOVE if old else ():
        tx.execute(text(statement), {"ids": old})
    return len(old)


_REMOVE = (
    "SELECT id FROM webhook_deliveries WHERE event_id = ANY(:ids) ORDER BY id FOR UPDATE",
    "DELETE FROM webhook_attempts WHERE delivery_id IN (SELECT id FROM webhook_deliveries WHERE event_id = ANY(:ids))",
    "DELETE FROM webhook_deliveries WHERE event_id = ANY(:ids)",
    "DELETE FROM webhook_events WHERE id = ANY(:ids)",
)


def standing(tx: Tx, at_most: int) -> Any:
    """(deliveries that wait for an enabled endpoint, counted up to ``at_most``; seconds that the oldest of
    these has waited; endpoints that their failing disabled)."""
    return tx.execute(
        text(
            """
            SELECT coalesce(sum(d.pending), 0)::bigint AS pending,
                   coalesce(max(d.oldest), 0)::float8 AS oldest_seconds,
                   (SELECT count(*) FROM webhook_endpoints WHERE state = 'disabled' AND disabled_by = 'courier') AS disabled
            FROM webhook_endpoints e CROSS JOIN LATERAL (
                SELECT count(*) AS pending, extract(epoch FROM clock_timestamp() - min(created_at)) AS oldest
                FROM (SELECT created_at FROM webhook_deliveries
                      WHERE endpoint_id = e.id AND state = 'pending' LIMIT :at_most) p
            ) d
            WHERE e.state = 'enabled'
            """
        ),
        {"at_most": at_most},
    ).one()
