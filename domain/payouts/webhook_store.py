"""All SQL of what gateways tell us."""

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
    ignored: str | None,
    look: timedelta,
) -> int | None:
    """Keep a gateway's event, once, received or (with the reason) ignored; its id, or None if it was there before."""
    made: int | None = tx.execute(
        text(
            """
            INSERT INTO gateway_events (merchant_id, method, event_id, type, account, payload, state,
                                        error, look_at)
            VALUES (:merchant_id, :method, :event_id, :type, :account, CAST(:payload AS jsonb),
                    CASE WHEN CAST(:ignored AS text) IS NULL THEN 'received' ELSE 'ignored' END, :ignored,
                    CASE WHEN CAST(:ignored AS text) IS NULL THEN clock_timestamp() + CAST(:look AS interval) END)
            ON CONFLICT (merchant_id, method, event_id) DO NOTHING RETURNING id
            """
        ),
        {
            "merchant_id": merchant_id,
            "method": method,
            "event_id": event_id,
            "type": type,
            "account": account,
            "payload": payload,
            "ignored": ignored,
            "look": look,
        },
    ).scalar()
    return made
