"""Dead letters: what a queue gave up on.

They lie in Redis, in the dead set of their queue, and beside that in whatever `DeadLetterSink` the
broker was given: the sink has each before the queue lets go of it. What is in the dead set and not
in the sink (a janitor without a sink, a sink that came later) is found with `DeadSet`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID, uuid5

import redis

from queues import keys
from queues.errors import lost_connections_are_closed
from queues.keys import QueueKeys
from queues.scripts import source

#: Whose names are the ids of messages that are put back.
PUT_BACK: Final = UUID("5a0a4f6e-6a3c-4d0e-9a55-0b5a7c1d8f42")
#: Ids read from a dead set in one answer.
PAGE_IDS: Final = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that will not be tried again by itself.

    Attributes:
        redis_message_id: Its key in Redis, unique on its queue.
        actor: Whom it was for, None if it does not say.
        args: What the actor would have got, as JSON; None if it cannot be read.
        raw: The message as it lay on the queue.
        reason: Why, in one line.
        trace: The stack of the last failure, None if it never reached an actor.
        attempts: How often it was tried, or taken and returned.
        deaths: How many workers died while they held it.
        died: When it was given up, None for now.
    """

    queue: str
    redis_message_id: str
    actor: str | None
    args: str | None = field(repr=False)
    raw: bytes = field(repr=False)
    reason: str
    trace: str | None = field(repr=False)
    attempts: int
    deaths: int
    died: datetime | None = None

    @classmethod
    def of(
        cls,
        queue: str,
        redis_message_id: str,
        raw: bytes,
        why: str,
        *,
        attempts: int,
        deaths: int,
        died: datetime | None = None,
    ) -> DeadLetter:
        """Describe a message; `why` is a sentence, or a stack trace whose last line is one."""
        actor, args = _read(raw)
        lines = why.strip().splitlines() or ["no reason was kept"]
        trace = why if len(lines) > 1 else None
        return cls(
            queue, redis_message_id, actor, args, raw, lines[-1], trace, attempts, deaths, died
        )


class DeadLetterSink(Protocol):
    """Where dead letters are kept for people to look at and decide on."""

    def record(self, letter: DeadLetter) -> None:
        """Keep a dead letter; once, however often it is called for the same queue and id.

        Raises:
            Exception: It is not kept. The message then stays on its queue.
        """


class DeadSet:
    """The dead letters of one queue in Redis.

    Raises (all methods): ConnectionClosed if the server does not answer.
    """

    def __init__(self, client: redis.Redis, namespace: str, queue: str) -> None:
        self.queue = queue
        self._client = client
        self._keys = QueueKeys(namespace, queue)

    def pages(self) -> Iterator[dict[str, datetime]]:
        """All ids with when they died, oldest first; those of a page may be removed meanwhile."""
        after: tuple[float, str] | None = None
        while True:
            low = "-inf" if after is None else after[0]
            with lost_connections_are_closed():
                found: list[Any] = self._client.zrangebyscore(
                    self._keys.dead, low, "+inf", start=0, num=PAGE_IDS, withscores=True
                )
            page = [(score, id_.decode()) for id_, score in found]
            fresh = [entry for entry in page if after is None or entry > after]
            if not fresh:
                return
            after = fresh[-1]
            yield {id_: datetime.fromtimestamp(score / 1000, UTC) for score, id_ in fresh}

    def letters(self, died: dict[str, datetime]) -> Iterator[DeadLetter]:
        """The letters of some ids, one by one: each may be large."""
        k = self._keys
        for id_, at in died.items():
            with lost_connections_are_closed():
                pipeline = self._client.pipeline(transaction=True)
                for key in (k.dead_messages, k.dead_errors, k.dead_counts):
                    pipeline.hget(key, id_)
                raw, why, counts = pipeline.execute()
            if raw is None:
                continue
            attempts, deaths = map(int, (counts or b"0 0").split())
            yield DeadLetter.of(
                self.queue,
                id_,
                raw,
                (why or b"").decode(errors="replace"),
                attempts=attempts,
                deaths=deaths,
                died=at,
            )

    def raw(self, redis_message_id: str) -> bytes | None:
        """A dead letter's message, None if it is not here."""
        with lost_connections_are_closed():
            found: Any = self._client.hget(self._keys.dead_messages, redis_message_id)
        return None if found is None else bytes(found)

    def remove(self, ids: Sequence[str]) -> None:
        """Forget dead letters."""
        if not ids:
            return
        with lost_connections_are_closed():
            pipeline = self._client.pipeline(transaction=True)
            self._remove(pipeline, ids)
            pipeline.execute()

    def put_back(self, letters: Mapping[str, bytes]) -> list[str]:
        """Put messages, by their dead ids, at the end of their queue under new ids, so that nothing is counted
        against them any more, and forget them here: all or none, in this order. Returns the new ids.

        Of one letter the new id is always the same. Who puts it back again, because the answer was lost or
        what else belongs to it was not kept, finds it on the queue, unless it has run meanwhile.
        """
        ids = [str(uuid5(PUT_BACK, f"{self.queue}\0{id_}")) for id_ in letters]
        k = self._keys
        held = [k.list, k.messages, k.dead, k.dead_messages, k.dead_errors, k.dead_counts]
        said = [
            part
            for (id_, raw), fresh in zip(letters.items(), ids, strict=True)
            for part in (id_, fresh, raw)
        ]
        if said:
            script = self._client.register_script(source("put_back"))
            with lost_connections_are_closed():
                script(keys=held, args=said)
        return ids

    def _remove(self, pipeline: redis.client.Pipeline, ids: Sequence[str]) -> None:
        k = self._keys
        pipeline.zrem(k.dead, *ids)
        for key in (k.dead_messages, k.dead_errors, k.dead_counts):
            pipeline.hdel(key, *ids)


def known_queues(client: redis.Redis, namespace: str) -> list[str]:
    """The names of all queues that anyone ever took messages from.

    Raises:
        ConnectionClosed: The server did not answer.
    """
    with lost_connections_are_closed():
        names: Any = client.smembers(keys.queues(namespace))
    return sorted(name.decode() for name in names)


def _read(raw: bytes) -> tuple[str | None, str | None]:
    try:
        message = json.loads(raw)
        actor = message["actor_name"]
        args = json.dumps({"args": message["args"], "kwargs": message["kwargs"]})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, None
    return (actor if isinstance(actor, str) else None), args
