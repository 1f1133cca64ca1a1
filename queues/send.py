"""Putting messages on queues without the actors at hand, as the outbox relay does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final
from uuid import uuid4

import redis
from dramatiq import Message

from payspool_client.wire import NAMESPACE
from queues.errors import lost_connections_are_closed
from queues.keys import QueueKeys

#: Messages written in one transaction.
CHUNK_MESSAGES: Final = 500


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send: its queue, its actor, and what the actor gets (JSON values)."""

    queue: str
    actor: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def enqueue(
    client: redis.Redis,
    queue: str,
    actor: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    namespace: str = NAMESPACE,
) -> str:
    """Put one message at the end of a queue.

    Returns:
        Its Dramatiq message id.

    Raises:
        ConnectionClosed: The server did not answer; the message may be queued.
    """
    outgoing = Outgoing(queue, actor, args, kwargs or {})
    return enqueue_many(client, [outgoing], namespace=namespace)[0]


def enqueue_many(
    client: redis.Redis, outgoing: Iterable[Outgoing], *, namespace: str = NAMESPACE
) -> list[str]:
    """Put messages at the ends of their queues, in order, `CHUNK_MESSAGES` to a transaction.

    Returns:
        Their Dramatiq message ids.

    Raises:
        ConnectionClosed: The server did not answer; an unknown part may be queued. Sending all of
            them again is safe where actors are idempotent, as ours are.
    """
    source = iter(outgoing)
    ids: list[str] = []
    while chunk := list(islice(source, CHUNK_MESSAGES)):
        messages = [_message(one) for one in chunk]
        with lost_connections_are_closed():
            put(client, namespace, messages)
        ids += (message.message_id for message in messages)
    return ids


def put(client: redis.Redis, namespace: str, messages: Iterable[Message[Any]]) -> None:
    """Write messages (that have a `redis_message_id`) and queue their ids, all or none.

    Raises:
        redis.RedisError: The server did not answer, or refused.
    """
    pipeline = client.pipeline(transaction=True)
    for message in messages:
        keys = QueueKeys(namespace, message.queue_name)
        redis_message_id = message.options["redis_message_id"]
        pipeline.hset(keys.messages, redis_message_id, message.encode())
        pipeline.rpush(keys.list, redis_message_id)
    pipeline.execute()


def _message(outgoing: Outgoing) -> Message[Any]:
    return Message(
        queue_name=outgoing.queue,
        actor_name=outgoing.actor,
        args=tuple(outgoing.args),
        kwargs=dict(outgoing.kwargs),
        options={"redis_message_id": str(uuid4())},
    )
