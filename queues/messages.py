"""The message consumer: one message, one call of its actor."""

from __future__ import annotations

import logging
from typing import Any, Final

from dramatiq import Actor, Message

from domain.tracebacks import format_traceback
from queues.consumer import Access, LaneConsumer
from queues.lane import HeldMessage
from queues.retries import RetryPolicy
from queues.scripts import Fetched, Taken

log = logging.getLogger(__name__)

#: A fetch stops at so many bytes (one message may be larger).
FETCH_BYTES_MAX: Final = 4 * 1024 * 1024
#: The end of a stack trace says where it happened.
REASON_CHARACTERS_MAX: Final = 4000


class MessageConsumer(LaneConsumer):
    """Hands out messages one by one.

    Parameters:
        actors: The declared actors by name, for their retry policies.
        prefetch: How many messages may be held; as many as worker threads keeps all of them busy
            and leaves the rest to other processes.
    """

    def __init__(
        self, access: Access, *, actors: dict[str, Actor[..., Any]], prefetch: int
    ) -> None:
        super().__init__(access, outstanding=prefetch)
        self._actors = actors

    def fetch(self) -> Fetched:
        fetched = self.scripts.fetch(
            self.queue, messages=self.lane.room(self.outstanding), size=FETCH_BYTES_MAX
        )
        found = map(self._message, fetched.taken)
        messages = [message for message in found if message is not None]
        dead = len(fetched.taken) - len(messages)
        self.lane.accept(messages, fetched.in_flight - dead)
        return fetched

    def failed(self, message: HeldMessage) -> None:
        policy = RetryPolicy.of(self._actors.get(message.actor_name))
        backoff = policy.backoff(message.tries, message.failure)
        assert message.taken is not None, "every message that is handed out here was taken singly"
        if backoff is None:
            self.bury(message.taken, _reason(message.failure), attempts=message.tries + 1)
        else:
            log.warning(
                "Message %s of %s failed for the %s. time; the next try is in %.1f s.",
                message.message_id,
                self.queue,
                message.tries + 1,
                backoff,
            )
            self.scripts.retry(self.queue, message.taken.id, backoff=backoff)
        self.lane.put_aside(message)

    def _message(self, taken: Taken) -> HeldMessage | None:
        message = self.decoded(taken, lambda raw: _decode(raw, self.queue))
        if message is None:
            return None
        return HeldMessage(message, (taken.id,), taken.tries, taken)


def _decode(raw: bytes, queue: str) -> Message[Any]:
    """Read a Dramatiq message. Where it was found counts, not where it says that it belongs."""
    message: Message[Any] = Message.decode(raw)
    if not isinstance(message.actor_name, str):
        raise TypeError("actor_name must be a string")
    if not isinstance(message.kwargs, dict) or not isinstance(message.options, dict):
        raise TypeError("kwargs and options must be objects")
    # A delay would be kept in this process's memory; whatever set it, the message is due now.
    message.options.pop("eta", None)
    return message.copy(queue_name=queue)


def _reason(failure: BaseException | None) -> str:
    if failure is None:
        return "rejected by a middleware"
    return format_traceback(failure)[-REASON_CHARACTERS_MAX:]
