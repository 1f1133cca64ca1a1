"""The batch consumer: many messages of the events queue become one call of one actor."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from dramatiq import Message

from payspool_client import wire
from queues.consumer import DEATHS_MAX, Access, LaneConsumer
from queues.lane import HeldMessage
from queues.scripts import Fetched, Taken

log = logging.getLogger(__name__)

#: The scripts pass a batch's ids as one argument list; Lua holds 8,000 values.
BATCH_MESSAGES_MAX: Final = 1000
#: One batch is worked on while the next is ready: what arrives meanwhile makes the one after it
#: larger, so that sizes follow the load between one message and the limits, and nothing waits for
#: a batch to fill.
BATCHES_OUTSTANDING: Final = 2


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much one batch may hold.

    `messages` and `bytes` (of queue messages) bound a fetch; `events` bounds what one call of the
    actor gets. A single message may exceed the last two. Of larger batches two workers want more of
    the same rows: with all rules on, 1,000 events at once were a third slower than 500.
    """

    messages: int = 500
    bytes: int = 1024 * 1024
    events: int = 500

    def __post_init__(self) -> None:
        if not 1 <= self.messages <= BATCH_MESSAGES_MAX:
            raise ValueError(f"messages must be between 1 and {BATCH_MESSAGES_MAX}.")
        if self.bytes < 1 or self.events < 1:
            raise ValueError("bytes and events must be at least 1.")


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One message of a batch.

    Attributes:
        redis_message_id: Its key in Redis.
        message_id: Its name in logs.
        timestamp: When it was published, Unix milliseconds by the producer's clock.
        redelivered: How often it failed, or its worker died, before.
        texts: Its events, each a JSON text as the producer sent it, not yet parsed.
    """

    redis_message_id: str
    message_id: str
    timestamp: int
    redelivered: int
    texts: list[str] = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """What the batch actor gets: messages in the order of the queue."""

    items: tuple[BatchItem, ...]

    def __iter__(self) -> Iterator[BatchItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def events(self) -> int:
        """How many events are in it."""
        return sum(len(item.texts) for item in self.items)

    def __repr__(self) -> str:
        # Dramatiq logs a failed message's arguments: no one wants a megabyte of people's data there.
        return f"<Batch of {len(self.items)} messages, {self.events} events>"


class BatchConsumer(LaneConsumer):
    """Hands out batches. A failed batch goes back whole, to the front, after a backoff; it is never
    dead-lettered. What cannot be decoded is, by itself."""

    def __init__(self, access: Access, limits: BatchLimits) -> None:
        super().__init__(access, outstanding=BATCHES_OUTSTANDING)
        self.limits = limits

    def fetch(self) -> Fetched:
        fetched = self.scripts.fetch(
            self.queue, messages=self.limits.messages, size=self.limits.bytes
        )
        items = [item for item in map(self._item, fetched.taken) if item is not None]
        dead = len(fetched.taken) - len(items)
        messages = [self._message_of(part) for part in self._parts(items)]
        self.lane.accept(messages, fetched.in_flight - dead)
        return fetched

    def failed(self, message: HeldMessage) -> None:
        seconds = self.lane.fail(message)
        log.warning(
            "A batch of %s messages failed; it goes back to %s in %.1f s.",
            len(message.ids),
            self.queue,
            seconds,
        )

    def _item(self, taken: Taken) -> BatchItem | None:
        message = self.decoded(taken, wire.decode_message)
        if message is None:
            return None
        if taken.deaths == DEATHS_MAX - 1 and len(message.texts) > 1:
            self._split(taken, message.texts)
            return None
        return BatchItem(
            taken.id, message.message_id, message.timestamp, taken.tries, message.texts
        )

    def _split(self, taken: Taken, texts: list[str]) -> None:
        """Give each event a message of its own, where their message kills its workers: the next
        death would bury all of them, and one of them is to blame."""
        self.scripts.split(self.queue, taken.id, [_alone(taken.raw, text) for text in texts])
        log.warning(
            "%s workers died while they held message %s of %s: its %s events go on one by one.",
            taken.deaths,
            taken.id,
            self.queue,
            len(texts),
        )

    def _parts(self, items: list[BatchItem]) -> Iterator[list[BatchItem]]:
        part: list[BatchItem] = []
        events = 0
        for item in items:
            if part and events + len(item.texts) > self.limits.events:
                yield part
                part, events = [], 0
            part.append(item)
            events += len(item.texts)
        if part:
            yield part

    def _message_of(self, items: list[BatchItem]) -> HeldMessage:
        batch = Batch(tuple(items))
        message: Message[Any] = Message(
            queue_name=self.queue, actor_name=wire.ACTOR, args=(batch,), kwargs={}, options={}
        )
        ids = tuple(item.redis_message_id for item in items)
        return HeldMessage(message, ids, max(item.redelivered for item in items))


def _alone(raw: bytes, text: str) -> tuple[str, bytes]:
    """A message (id, bytes) of one event of a message: its other fields stay, so its time does."""
    message = json.loads(raw)
    redis_message_id = str(uuid4())
    message["message_id"] = str(uuid4())
    message["options"]["redis_message_id"] = redis_message_id
    message["options"]["payspool"]["n"] = 1
    message["args"] = [[text]]
    # In ASCII: what a producer escaped (half of a surrogate pair) could not be written otherwise.
    return redis_message_id, json.dumps(message, separators=(",", ":")).encode()
