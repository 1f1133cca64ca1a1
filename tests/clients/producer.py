"""A producer's events, and what lies on the queue."""

from __future__ import annotations

import json
from typing import Any

import redis

from payspool_client.wire import decode_message


def event(number: int, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": "shop",
        "merchant": "acme",
        "type": "conversion.recorded",
        "time": "2026-11-20T09:30:00Z",
        "data": {"referred_user_id": f"u-{number}", "amount": number} | data,
    }


def queued(client: redis.Redis, namespace: str = "payspool") -> list[str]:
    """The texts on the queue, in order."""
    raws = [
        client.hget(f"{namespace}:events.msgs", message_id)
        for message_id in client.lrange(f"{namespace}:events", 0, -1)
    ]
    return [text for raw in raws for text in decode_message(raw).texts]


def ids(texts: list[str]) -> list[str]:
    return [json.loads(text)["id"] for text in texts]
