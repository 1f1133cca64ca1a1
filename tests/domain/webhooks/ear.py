"""Who listens to a merchant's events, for tests that look at what is told."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.webhooks.rules import TYPES


def listen(tx: Tx, merchant_id: int, *types: str) -> int:
    """Add an endpoint that nothing is sent to; its id."""
    made: int = tx.execute(
        text(
            """
            INSERT INTO webhook_endpoints (merchant_id, url, types, secret_encrypted)
            VALUES (:merchant_id, 'https://shop.example.com/', :types, '') RETURNING id
            """
        ),
        {"merchant_id": merchant_id, "types": list(types) or ["*"]},
    ).scalar_one()
    return made


def told(tx: Tx) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of each event, in order; all are of the form that the documentation shows, and have
    one delivery."""
    rows = tx.execute(
        text(
            """
            SELECT v.type, v.data, (SELECT count(*) FROM webhook_deliveries d WHERE d.event_id = v.id) AS deliveries
            FROM webhook_events v ORDER BY v.id
            """
        )
    )
    found = []
    for row in rows:
        assert row.deliveries == 1
        shown = TYPES[row.type].example
        assert set(row.data) == set(shown) - {"customer_id"}, row.type
        for name, value in row.data.items():
            assert value is None or shown[name] is None or type(value) is type(shown[name]), name
        found.append((row.type, row.data))
    return found
