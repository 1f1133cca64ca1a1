"""The message consumer: one message, one call of its actor."""

from __future__ import annotations

import logging
import traceback
from typing import Any, Final

from dramatiq import Actor, Message
from dramatiq.errors import DecodeError

from queues.consumer import Access, LaneConsumer
from queues.lane import HeldMessage
from queues.retries import RetryPolicy
from queues.scripts import Taken

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

    def fetch(self) -> float | None:
        fetched = self.scripts.fetch(
            self.queue, messages=self.lane.room(self.outstanding), size=FETCH_BYTES_MAX
        )
        decoded = map(self._decoded, fetched.taken)
        messages = [message for message in decoded if message is not None]
        dead = len(fetched.taken) - len(messages)
        self.lane.accept(messages, fetched.in_flight - dead)
        return fetched.next_due

    def failed(self, message: HeldMessage) -> None:
        policy = RetryPolicy.of(self._actors.get(message.actor_name))
        backoff = policy.backoff(message.tries, message.failure)
        (message_id,) = message.ids
        if backoff is None:
            log.error("Message %s of %s is a dead letter.", message.message_id, self.queue)
            self.scripts.dead_letter(self.queue, message_id, _reason(message.failure))
        else:
            log.warning(
                "Message %s of %s failed for the %s. time; the next try is in %.1f s.",
                message.message_id,
                self.queue,
                message.tries + 1,
                backoff,
            )
            self.scripts.retry(self.queue, message_id, backoff=backoff)
        self.lane.put_aside(message)

    def _decoded(self, taken: Taken) -> HeldMessage | None:
        try:
            message = _decode(taken.raw, self.queue)
        except (DecodeError, TypeError) as error:
            log.error("Message %s of %s is a dead letter: %s.", taken.id, self.queue, error)  # noqa: TRY400
            self.scripts.dead_letter(self.queue, taken.id, f"undecodable: {error}")
            return None
        return HeldMessage(message, (taken.id,), taken.tries)


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
    return "".join(traceback.format_exception(failure))[-REASON_CHARACTERS_MAX:]
