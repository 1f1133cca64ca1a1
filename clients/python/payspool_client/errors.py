"""What can go wrong for a producer: one class per condition, each with the data that explains it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from payspool_client.events.event import Identity

#: An error's sentence is stored beside the event and shown to people.
ERROR_TEXT_MAX: Final = 500


class PayspoolClientError(Exception):
    """The base of every error of this package."""


class InvalidEvent(PayspoolClientError, ValueError):
    """An event that cannot be accepted, with all that could still be read of it.

    Attributes:
        reason: A stable code, for instance ``wrong_type`` or ``too_large``.
        field: The dotted path of the field at fault (``data.amount``), or None.
        message: A sentence that says what to do, at most `ERROR_TEXT_MAX` characters.
        identity: (merchant, source, id) if all three are readable and valid, else None.
        content_hash: 32 bytes: the content hash if it can be computed, else the SHA-256 of the
            bytes as received.
        type: The event's type if it is a readable string, known or not.
        time: When it happened, in UTC, if readable.
        data: The `data` object as sent, if it is safe to store (no NUL, no NaN, no duplicate key).
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        field: str | None = None,
        identity: Identity | None = None,
        content_hash: bytes,
        type: str | None = None,
        time: datetime | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        message = message[:ERROR_TEXT_MAX]
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.field = field
        self.identity = identity
        self.content_hash = content_hash
        self.type = type
        self.time = time
        self.data = data


def _events(number: int) -> str:
    return "1 event was" if number == 1 else f"{number:,} events were"


class PublishError(PayspoolClientError):
    """One of the events to publish is wrong; it and those after it were not sent.

    Attributes:
        sent: How many events of this call are on the queue (all those of the chunks before).
        index: Which one is wrong, counting from 0.
        invalid: Why.
    """

    def __init__(self, sent: int, index: int, invalid: InvalidEvent) -> None:
        where = f" ({invalid.field})" if invalid.field else ""
        super().__init__(
            f"Event {index} (counting from 0) is wrong{where}: {invalid.message} {_events(sent)} "
            f"published before; correct it and publish again from event {sent}."
        )
        self.sent = sent
        self.index = index
        self.invalid = invalid

    @property
    def reason(self) -> str:
        """The stable code of what is wrong."""
        return self.invalid.reason


class QueueUnavailable(PayspoolClientError):
    """The connection to the queue failed, so the outcome of the last chunk is unknown.

    Attributes:
        sent: How many events of this call are certainly on the queue.
    """

    def __init__(self, sent: int, cause: BaseException) -> None:
        super().__init__(
            f"The queue did not answer ({cause}). {_events(sent)} published; those after them "
            "may be queued; publishing the same events again is safe."
        )
        self.sent = sent


class QueueRefused(PayspoolClientError):
    """The queue answered that it takes nothing now (memory limit, read-only replica, loading).

    Attributes:
        sent: How many events of this call are on the queue; nothing after them is.
    """

    def __init__(self, sent: int, cause: BaseException) -> None:
        super().__init__(
            f"The queue refused the events ({cause}). {_events(sent)} published and nothing "
            "after them; publish the rest again once the queue accepts writes."
        )
        self.sent = sent


class NotDurable(PayspoolClientError):
    """The queue took the events, but did not say that they are on its disk.

    Attributes:
        sent: How many events of this call are certainly on the queue's disk.
    """

    def __init__(self, sent: int, why: str) -> None:
        super().__init__(
            f"The queue did not confirm that the events are on its disk ({why}). {_events(sent)} "
            "confirmed; those after them may be queued; repeat it: publishing the same events "
            "again is safe."
        )
        self.sent = sent


class BacklogFull(PayspoolClientError):
    """So much lies on the queue that nothing is added to it now; nothing of this chunk was sent.

    Attributes:
        messages: Messages on the queue that are not done.
        bytes: The memory that Valkey uses.
        limit: The limit that is reached, in `unit` (``messages`` or ``bytes``).
        retry_after: When to try again, in seconds.
        sent: How many events of this call are on the queue; nothing after them is.
    """

    def __init__(
        self, *, messages: int, bytes: int, limit: int, unit: str, retry_after: int, sent: int = 0
    ) -> None:
        super().__init__(
            f"The queue is full: {messages:,} messages are not done and {bytes:,} bytes of memory "
            f"are in use; the limit is {limit:,} {unit}. {_events(sent)} published and nothing "
            f"after them; publish the rest again in {retry_after} seconds. If it stays full, look "
            "whether workers run, and start more."
        )
        self.messages = messages
        self.bytes = bytes
        self.limit = limit
        self.unit = unit
        self.retry_after = retry_after
        self.sent = sent


class UndecodableMessage(PayspoolClientError, ValueError):
    """A queue message that is not wire format v1; `str()` says what is wrong with it."""
