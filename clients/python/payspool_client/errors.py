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
            f"Event {index} is wrong{where}: {invalid.message} {sent} events before it were "
            f"published; correct it and publish again from event {sent}."
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
            f"The queue did not answer ({cause}). {sent} events were published; those after them "
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
            f"The queue refused the events ({cause}). {sent} events were published and nothing "
            "after them; publish the rest again once the queue accepts writes."
        )
        self.sent = sent


class UndecodableMessage(PayspoolClientError, ValueError):
    """A queue message that is not wire format v1; `str()` says what is wrong with it."""
