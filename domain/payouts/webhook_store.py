"""All SQL of what gateways tell us."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text

from domain.db import Tx


def insert(
    tx: Tx,
    *,
    merchant_id: int,
    method: str,
    event_id: str,
    type: str,
    account: str | None,
    payload: str,
    live: bool,
    ignored: str | None,
    look: timedelta,
    brought_by: str,
) -> int | None:
    """Keep a gateway's event, once, received or (with the reason) ignored; its id, or None if it was there before."""
    made: int | None = tx.execute(
        text(
            """
            INSERT INTO gateway_events (merchant_id, method, event_id, type, account, payload, live, state,
                                        error, brought_by, look_at)
            VALUES (:merchant_id, :method, :event_id, :type, :account, CAST(:payload AS jsonb), :live,
                    CASE WHEN CAST(:ignored AS text) IS NULL THEN 'received' ELSE 'ignored' END, :ignored, :brought_by,
                    CASE WHEN CAST(:ignored AS text) IS NULL THEN clock_timestamp() + CAST(:look AS interval) END)
            ON CONFLICT (merchant_id, method, event_id, live) DO NOTHING RETURNING id
            """
        ),
        {
            "merchant_id": merchant_id,
            "method": method,
            "event_id": event_id,
            "type": type,
            "account": account,
            "payload": payload,
            "live": live,
            "ignored": ignored,
            "look": look,
            "brought_by": brought_by,
        },
    ).scalar()
    return made


def known(
    tx: Tx, merchant_id: int, method: str, event_ids: Sequence[str], *, live: bool
) -> set[str]:
    """Those of these events that are kept already, as events of this mode."""
    return set(
        tx.execute(
            text(
                """
                SELECT event_id FROM gateway_events
                WHERE merchant_id = :merchant_id AND method = :method AND live = :live
                      AND event_id = ANY (CAST(:event_ids AS varchar[]))
                """
            ),
            {
                "merchant_id": merchant_id,
                "method": method,
                "event_ids": list(event_ids),
                "live": live,
            },
        ).scalars()
    )
