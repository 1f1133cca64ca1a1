"""Wire format v1: how events lie on the queue.

A queue message is a Dramatiq message, so that any Dramatiq-compatible consumer can carry it. It
holds one event or many, each as its own JSON text, exactly as the producer sent it (so the content
that was hashed is the content that is checked)::

    {"queue_name": "events",
     "actor_name": "events.ingest",
     "message_id": "<uuid>",              names the message in logs
     "message_timestamp": 1795167000000,  when it was published, Unix time in milliseconds
     "options": {"redis_message_id": "<uuid>", "payspool": {"v": 1, "n": 2}},
     "args": [["{\\"specversion\\":...}", "{\\"specversion\\":...}"]],
     "kwargs": {}}

The order of the keys is free. `n` is the number of events in `args[0]`; `v` is the version of this
format: a reader refuses versions that it does not know.

In Redis, with the namespace (`payspool` by default) in front, publishing is one transaction of::

    HSET payspool:events.msgs <redis_message_id> <json>
    RPUSH payspool:events <redis_message_id>

A message holds at most `EVENTS_PER_MESSAGE_MAX` events and `MESSAGE_BYTES_MAX` bytes; one event
always fits, because its text has at most 64 KiB.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from payspool_client.errors import UndecodableMessage

QUEUE: Final = "events"
ACTOR: Final = "events.ingest"
NAMESPACE: Final = "payspool"
VERSION: Final = 1
#: The latest that a message can say it was published, in milliseconds: what JSON readers keep exactly.
TIMESTAMP_MAX: Final = 2**53 - 1
EVENTS_PER_MESSAGE_MAX: Final = 100
MESSAGE_BYTES_MAX: Final = 1024 * 1024

#: What a message has around its events, ids included; rounded up.
_ENVELOPE_BYTES: Final = 512

_quote = json.JSONEncoder(ensure_ascii=False).encode
_read = json.JSONDecoder().decode


@dataclass(frozen=True, slots=True)
class EventsMessage:
    """A queue message as read: the texts of its events, not yet parsed.

    `timestamp` is when it was published, in Unix milliseconds.
    """

    message_id: str
    timestamp: int
    texts: list[str] = field(repr=False)


def list_key(namespace: str, queue: str = QUEUE) -> str:
    """The list of the ids of waiting messages."""
    return f"{namespace}:{queue}"


def messages_key(namespace: str, queue: str = QUEUE) -> str:
    """The hash of messages by id."""
    return f"{namespace}:{queue}.msgs"


def encode_messages(texts: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Pack event texts, in order, into as few messages as the limits allow.

    Yields (redis_message_id, message). The texts are valid events (see `parse_event`): nothing is
    checked here.
    """
    parts: list[bytes] = []
    size = _ENVELOPE_BYTES
    for text in texts:
        part = _quote(text).encode()
        if parts and (
            len(parts) >= EVENTS_PER_MESSAGE_MAX or size + len(part) + 1 > MESSAGE_BYTES_MAX
        ):
            yield _encode(parts)
            parts = []
            size = _ENVELOPE_BYTES
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield _encode(parts)


def _encode(parts: list[bytes]) -> tuple[str, bytes]:
    redis_message_id = str(uuid4())
    head = (
        f'{{"queue_name":"{QUEUE}","actor_name":"{ACTOR}","message_id":"{uuid4()}",'
        f'"message_timestamp":{time.time_ns() // 1_000_000},'
        f'"options":{{"redis_message_id":"{redis_message_id}",'
        f'"payspool":{{"v":{VERSION},"n":{len(parts)}}}}},"args":[['
    )
    return redis_message_id, b'%b%b]],"kwargs":{}}' % (head.encode(), b",".join(parts))


def decode_message(raw: bytes) -> EventsMessage:
    """Read a queue message.

    Raises:
        UndecodableMessage: It is not wire format v1; the text says why.
    """
    try:
        message = _read(raw.decode())
    except (ValueError, RecursionError) as error:
        raise UndecodableMessage(f"not JSON: {error}") from None
    try:
        if message["actor_name"] != ACTOR:
            raise UndecodableMessage(f"not for the actor {ACTOR}")
        options = message["options"]["payspool"]
        if options["v"] != VERSION:
            raise UndecodableMessage(f"wire format version {options['v']!r}, not {VERSION}")
        return _checked(message, options["n"])
    except (KeyError, TypeError, IndexError) as error:
        raise UndecodableMessage(f"not a message of wire format v{VERSION}: {error!r}") from None


def _checked(message: dict[str, Any], announced: int) -> EventsMessage:
    (texts,) = message["args"] if len(message["args"]) == 1 else (None,)
    if type(texts) is not list or not texts or not all(type(text) is str for text in texts):
        raise UndecodableMessage("args must be one list of event texts, each a string")
    if announced != len(texts):
        raise UndecodableMessage(f"announces {announced!r} events and holds {len(texts)}")
    message_id, timestamp = message["message_id"], message["message_timestamp"]
    if type(message_id) is not str or type(timestamp) is not int:
        raise UndecodableMessage("message_id must be a string, message_timestamp an integer")
    if not 0 <= timestamp <= TIMESTAMP_MAX:
        raise UndecodableMessage(f"message_timestamp must be 0 to {TIMESTAMP_MAX}")
    return EventsMessage(message_id, timestamp, texts)
