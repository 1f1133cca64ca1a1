"""All SQL of what gateways tell us."""

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
) -> int | None:
    """Keep a gateway's event, once; its id, or None if it was there before."""
    made: int | None = tx.execute(
        text(
            """
            INSERT INTO gateway_events (merchant_id, method, event_id, type, account, payload)
            VALUES (:merchant_id, :method, :event_id, :type, :account, CAST(:payload AS jsonb))
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
        },
    ).scalar()
    return made
