"""Putting events on the queue."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from payspool_client.backlog import Backlog, BacklogLimit, Gate, measure
from payspool_client.errors import (
    InvalidEvent,
    NotDurable,
    PublishError,
    QueueRefused,
    QueueUnavailable,
)
from payspool_client.events.event import Event
from payspool_client.events.parse import parse_event, unparsable
from payspool_client.wire import NAMESPACE, encode_messages, list_key, messages_key

CONNECT_TIMEOUT_SECONDS: Final = 3.0
READ_TIMEOUT_SECONDS: Final = 10.0
#: With `appendfsync everysec` a disk confirms within about a second, a busy one later.
DURABLE_TIMEOUT_SECONDS: Final = 5.0
#: Events validated, then sent, as one transaction.
CHUNK_EVENTS: Final = 500

DEFAULT_LIMIT: Final = BacklogLimit()

#: What can be published: an event, or its JSON as an object or a text (sent as it is).
Publishable = Event | Mapping[str, Any] | str | bytes


class Publisher:
    """Publishes events.

    >>> with Publisher("redis://localhost:6379/0") as publisher:  # doctest: +SKIP
    ...     publisher.publish(event)
    ...     publisher.publish_many(events, durable=True)

    Nothing is sent twice by itself: a failed call raises, and publishing the same events again is
    always safe, because an event's identity is counted once. One Publisher may serve many threads.

    Parameters:
        redis_url: ``redis://``, ``rediss://`` or ``unix://``.
        namespace: What Payspool's keys begin with there.
        limit: Up to where the queue may be filled; None sends whatever Valkey takes.
        connect_timeout: Seconds for a connection.
        read_timeout: Seconds for an answer.
        durable_timeout: Seconds for the disk, with ``durable=True``; less than `read_timeout`.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        namespace: str = NAMESPACE,
        limit: BacklogLimit | None = DEFAULT_LIMIT,
        connect_timeout: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout: float = READ_TIMEOUT_SECONDS,
        durable_timeout: float = DURABLE_TIMEOUT_SECONDS,
    ) -> None:
        if not 0.001 <= durable_timeout < read_timeout:
            raise ValueError(
                "durable_timeout must be shorter than read_timeout, and at least 1 ms."
            )
        self._client = redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=connect_timeout,
            socket_timeout=read_timeout,
            # A retried transaction may have run the first time: whether to repeat is the caller's.
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._namespace = namespace
        self._list = list_key(namespace)
        self._messages = messages_key(namespace)
        self._limit = limit
        self._gate = Gate(self._client, namespace, limit) if limit else None
        self._durable_ms = int(durable_timeout * 1000)

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

    def publish(self, event: Publishable, *, durable: bool = False) -> None:
        """Validate one event and put it on the queue.

        `durable` returns only after the queue's own disk has it (`WAITAOF 1 0`): a queue that
        then loses its power still has the event.

        Raises:
            PublishError: The event is wrong.
            BacklogFull: The queue holds too much; it is not queued.
            QueueUnavailable: No answer; it may be queued.
            QueueRefused: The queue takes nothing now; it is not queued.
            NotDurable: It may be queued, but its disk did not confirm it.
        """
        self._send([_validated(event, 0, 0)], 0, durable)

    def publish_many(
        self, events: Iterable[Publishable], *, chunk: int = CHUNK_EVENTS, durable: bool = False
    ) -> int:
        """Validate and publish any number of events, in order, in flat memory.

        Each `chunk` is validated whole, then sent as one transaction (all of it or none), packed
        into messages of many events. With `durable`, each waits for the queue's disk: a fraction of
        a millisecond with `appendfsync always`, up to a second with `everysec`.

        Returns:
            How many events were published.

        Raises:
            PublishError: One is wrong; the chunks before its own were sent.
            BacklogFull: The queue holds too much; nothing from this chunk on was sent.
            QueueUnavailable: No answer; the last chunk may be queued.
            QueueRefused: The queue takes nothing now.
            NotDurable: The last chunk may be queued, but the queue's disk did not confirm it.
        """
        if chunk < 1:
            raise ValueError("chunk must be at least 1.")
        source = iter(events)
        sent = 0
        while batch := list(islice(source, chunk)):
            texts = [_validated(event, sent, sent + i) for i, event in enumerate(batch)]
            self._send(texts, sent, durable)
            sent += len(texts)
        return sent

    def backlog(self) -> Backlog:
        """How full the queue is.

        Raises:
            QueueUnavailable: No answer.
            QueueRefused: The queue does not tell.
        """
        with _told(0):
            return measure(self._client, self._namespace)

    def check_backlog(self) -> None:
        """Ask whether there is room, without sending anything: for who takes events for others.

        Raises:
            BacklogFull: There is none.
            QueueUnavailable: No answer.
            QueueRefused: The queue does not tell.
        """
        backlog = self.backlog()
        if self._limit is not None:
            self._limit.check(backlog, messages=1)

    def _send(self, texts: list[str], sent: int, durable: bool) -> None:
        ids: list[str] = []
        fields: list[str | bytes] = []
        size = 0
        for message_id, message in encode_messages(texts):
            ids.append(message_id)
            fields += (message_id, message)
            size += len(message)
        # All of it goes out in one write and stays on one connection: `WAITAOF` tells of what its own
        # connection wrote, and a new one would be told at once that its nothing is safe.
        pipeline: Any = self._client.pipeline(transaction=False)
        pipeline.execute_command("MULTI")
        pipeline.hset(self._messages, items=fields)
        pipeline.rpush(self._list, *ids)
        pipeline.execute_command("EXEC")
        if durable:
            pipeline.execute_command("WAITAOF", 1, 0, self._durable_ms)
        with _told(sent):
            if self._gate is not None:
                self._gate.pass_through(len(ids), size, sent)
            answers = pipeline.execute(raise_on_error=False)
        _assert_queued(answers[:4], sent)
        if durable:
            _assert_on_disk(answers[4], sent, self._durable_ms)


def _assert_on_disk(answer: Any, sent: int, waited_ms: int) -> None:
    if isinstance(answer, Exception):
        raise NotDurable(sent, str(answer))
    if answer[0] < 1:
        raise NotDurable(sent, f"not within {waited_ms / 1000:g} s")


def _assert_queued(answers: list[Any], sent: int) -> None:
    """Hold a transaction's answers to what they must be. Raises QueueUnavailable, QueueRefused."""
    began, *queued, done = answers
    if isinstance(began, Exception):
        # Without MULTI what followed may have run, command by command.
        raise QueueUnavailable(sent, began) from began
    for answer in [*queued, done]:
        if isinstance(answer, Exception):
            raise QueueRefused(sent, answer) from answer
    for answer in done:
        if isinstance(answer, Exception):  # a key of another kind: the rest of it did run
            raise QueueUnavailable(sent, answer) from answer


@contextmanager
def _told(sent: int) -> Iterator[None]:
    """What redis-py raises, as a producer needs to know it."""
    try:
        yield
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
