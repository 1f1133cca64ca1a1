"""Events onto the queue: all of a request or none, and on the disk before anybody hears that they are.

Unlike `payspool_client.Publisher` this takes texts that were checked already, one by one, so that the
good ones of a request are queued and the bad ones told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis

from payspool_client.wire import encode_messages, list_key, messages_key
from queues.connection import connect

FSYNC_MILLISECONDS: Final = 3_000
"""Longest wait for the fsync, which takes milliseconds with `appendfsync always`, and up to a second or
two with `everysec`."""

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 5.0
"""Longer than the wait for the fsync. A server that hangs holds a thread no longer than this."""

LOOK_SECONDS: Final = 0.1
"""How long a look at the backlog is good for."""


class QueueError(Exception):
    """The base of why events are not, or not certainly, on the queue."""


class QueueAway(QueueError):
    """The connection failed.

    Attributes:
        sent: Whether the events may be queued nevertheless.
    """

    def __init__(self, cause: BaseException, *, sent: bool) -> None:
        super().__init__(str(cause))
        self.sent = sent


class QueueRefused(QueueError):
    """The queue answered that it takes nothing now (memory, replica, loading): they are not queued."""


class NotDurable(QueueError):
    """They are queued, but were not seen on the disk in time."""


class BacklogFull(QueueError):
    """Too much is queued already; they were not sent.

    Attributes:
        messages: How many messages wait.
        memory_share: How much of its memory the server uses, 0 to 1; 0 if it has no limit.
    """

    def __init__(self, messages: int, memory_share: float) -> None:
        super().__init__(f"{messages} messages wait, {memory_share:.0%} of the memory is used")
        self.messages = messages
        self.memory_share = memory_share


@dataclass(frozen=True, slots=True)
class _Backlog:
    messages: int
    memory_share: float
    good_until: float


class EventQueue:
    """The queue of events, for many threads.

    Parameters:
        backlog_messages: Above so many waiting messages (of up to 100 events) nothing more is taken.
        backlog_memory: The same for the share of the server's `maxmemory`. At the limit itself the
            server would refuse the workers' acknowledgements too.
    """

    def __init__(
        self, redis_url: str, namespace: str, *, backlog_messages: int, backlog_memory: float
    ) -> None:
        self._client = connect(
            redis_url, connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS
        )
        self._pool = self._client.connection_pool
        self._list = list_key(namespace)
        self._messages = messages_key(namespace)
        self._most_messages = backlog_messages
        self._most_memory = backlog_memory
        self._backlog: _Backlog | None = None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def put(self, texts: Sequence[str]) -> None:
        """Queue events (valid ones, as sent) in one transaction, and wait until the disk has them.

        Raises:
            BacklogFull, QueueRefused: Nothing was queued.
            QueueAway, NotDurable: They may be queued; queueing them again is safe.
        """
        sent = False
        try:
            self._check_backlog()
            sent = True
            *queued, executed, durable = self._exchange(self._commands(texts))
        except redis.exceptions.BusyLoadingError as error:
            raise QueueRefused(str(error)) from error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise QueueAway(error, sent=sent) from error
        except redis.RedisError as error:
            raise QueueRefused(str(error)) from error
        written = executed if isinstance(executed, list) else [executed]
        for reply in (*queued, *written):
            if isinstance(reply, redis.RedisError):
                raise QueueRefused(str(reply))
        if isinstance(durable, redis.RedisError) or durable[0] < 1:
            raise NotDurable(str(durable))

    def _commands(self, texts: Sequence[str]) -> list[tuple[Any, ...]]:
        ids: list[str] = []
        fields: list[str | bytes] = []
        for message_id, message in encode_messages(texts):
            ids.append(message_id)
            fields += (message_id, message)
        return [
            ("MULTI",),
            ("HSET", self._messages, *fields),
            ("RPUSH", self._list, *ids),
            ("EXEC",),
            # Inside of MULTI it would not wait; on another connection it would wait for other writes.
            ("WAITAOF", 1, 0, FSYNC_MILLISECONDS),
        ]

    def _exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands on one connection at once; a reply for each, errors of the server included."""
        connection: Any = self._pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            return [_reply(connection) for _ in commands]
        except BaseException:
            connection.disconnect()  # a reply that was not read would be taken for the next one's
            raise
        finally:
            self._pool.release(connection)

    def _check_backlog(self) -> None:
        seen = self._backlog
        if seen is None or time.monotonic() >= seen.good_until:
            seen = self._backlog = self._look()
        if seen.messages >= self._most_messages or seen.memory_share >= self._most_memory:
            raise BacklogFull(seen.messages, seen.memory_share)

    def _look(self) -> _Backlog:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.llen(self._list)
        pipeline.info("memory")
        waiting, memory = pipeline.execute()
        most = memory.get("maxmemory", 0)
        share = memory["used_memory"] / most if most else 0.0
        return _Backlog(waiting, share, time.monotonic() + LOOK_SECONDS)


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.exceptions.BusyLoadingError:
        raise
    except redis.ResponseError as error:
        return error
