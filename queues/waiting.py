"""Failed messages whose backoff is not over: which they are, and when each is tried again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import redis

from queues.keys import QueueKeys


@dataclass(frozen=True, slots=True)
class WaitingRetry:
    """A message that failed and is tried again.

    ``seconds`` until then by the server's clock, 0 if it is due; ``tries`` is how often it failed or its
    worker died.
    """

    queue: str
    actor: str
    message_id: str
    tries: int
    seconds: float


def waiting(client: redis.Redis, namespace: str, queue: str, *, limit: int) -> list[WaitingRetry]:
    """The first ``limit`` of a queue that are tried again, the next one first; changes nothing.

    What is taken between two of these reads is left out. Raises redis.RedisError.
    """
    named = QueueKeys(namespace, queue)
    found: Any = client.zrange(named.later, 0, limit - 1, withscores=True)
    if not found:
        return []
    ids = [one for one, _ in found]
    seconds, micros = client.time()
    now = seconds * 1000 + micros / 1000
    messages: Any = client.hmget(named.messages, ids)
    tries: Any = client.hmget(named.tries, ids)
    return [
        WaitingRetry(
            queue,
            _actor(message),
            message_id.decode() if isinstance(message_id, bytes) else str(message_id),
            int(failed or 0),
            max(0.0, (due - now) / 1000),
        )
        for (message_id, due), message, failed in zip(found, messages, tries, strict=True)
        if message is not None
    ]


def _actor(message: bytes | str) -> str:
    try:
        return str(json.loads(message)["actor_name"])
    except (ValueError, KeyError, TypeError):
        return "unreadable"
