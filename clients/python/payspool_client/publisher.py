"""Putting events on the queue."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from payspool_client.errors import (
    InvalidEvent,
    PublishError,
    QueueRefused,
    QueueUnavailable,
)
from payspool_client.events.event import Event
from payspool_client.events.parse import parse_event, unparsable
from payspool_client.wire import NAMESPACE, encode_messages, list_key, messages_key

CONNECT_TIMEOUT_SECONDS: Final = 3.0
READ_TIMEOUT_SECONDS: Final = 10.0
#: Events validated, then sent, as one transaction.
CHUNK_EVENTS: Final = 500

#: What can be published: an event, or its JSON as an object or a text (sent as it is).
Publishable = Event | Mapping[str, Any] | str | bytes


class Publisher:
    """Publishes events.

    >>> with Publisher("redis://localhost:6379/0") as publisher:  # doctest: +SKIP
    ...     publisher.publish(event)
    ...     publisher.publish_many(events)

    Nothing is sent twice by itself: a failed call raises, and publishing the same events again is
    always safe, because an event's identity is counted once. One Publisher may serve many threads.

    Parameters:
        redis_url: ``redis://``, ``rediss://`` or ``unix://``.
        namespace: What Payspool's keys begin with there.
    """

    def __init__(self, redis_url: str, *, namespace: str = NAMESPACE) -> None:
        self._client = redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_timeout=READ_TIMEOUT_SECONDS,
            # A retried transaction may have run the first time: whether to repeat is the caller's.
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._list = list_key(namespace)
        self._messages = messages_key(namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def publish(self, event: Publishable) -> None:
        """Validate one event and put it on the queue.

        Raises:
            PublishError: The event is wrong.
            QueueUnavailable: No answer; it may be queued.
            QueueRefused: The queue takes nothing now.
        """
        self._send([_validated(event, 0, 0)], 0)

    def publish_many(self, events: Iterable[Publishable], *, chunk: int = CHUNK_EVENTS) -> int:
        """Validate and publish any number of events, in order, in flat memory.

        Each `chunk` is validated whole, then sent as one transaction (all of it or none), packed
        into messages of many events.

        Returns:
            How many events were published.

        Raises:
            PublishError: One is wrong; the chunks before its own were sent.
            QueueUnavailable: No answer; the last chunk may be queued.
            QueueRefused: The queue takes nothing now.
        """
        if chunk < 1:
            raise ValueError("chunk must be at least 1.")
        source = iter(events)
        sent = 0
        while batch := list(islice(source, chunk)):
            texts = [_validated(event, sent, sent + i) for i, event in enumerate(batch)]
            self._send(texts, sent)
            sent += len(texts)
        return sent

    def _send(self, texts: list[str], sent: int) -> None:
        ids: list[str] = []
        fields: list[str | bytes] = []
        for message_id, message in encode_messages(texts):
            ids.append(message_id)
            fields += (message_id, message)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hset(self._messages, items=fields)
        pipeline.rpush(self._list, *ids)
        try:
            pipeline.execute()
        except redis.exceptions.BusyLoadingError as error:
            raise QueueRefused(sent, error) from error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise QueueUnavailable(sent, error) from error
        except redis.ResponseError as error:
            raise QueueRefused(sent, error) from error


def _validated(event: Publishable, sent: int, index: int) -> str:
    if isinstance(event, Event):
        return event.to_json()  # it was validated when it was made
    try:
        if isinstance(event, Mapping):
            event = _to_text(event)
        parse_event(event)
    except InvalidEvent as invalid:
        raise PublishError(sent, index, invalid) from None
    return event if isinstance(event, str) else event.decode()


def _to_text(event: Mapping[str, Any]) -> str:
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise unparsable(f"The object cannot be written as JSON: {error}.") from None
