"""Retries that cannot lose a message.

Dramatiq's own middleware enqueues a copy and acknowledges the original even if the copy was never
written. Here a retry moves the message itself, in one script that also counts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dramatiq import Actor, Middleware
from dramatiq.common import compute_backoff
from dramatiq.errors import Retry

DEFAULT_MAX_RETRIES: Final = 20
DEFAULT_MIN_BACKOFF_MS: Final = 1_000
DEFAULT_MAX_BACKOFF_MS: Final = 5 * 60_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What becomes of a message whose actor raised, as declared on the actor.

    Attributes:
        max_retries: After so many the message is a dead letter; None: never.
        min_backoff, max_backoff: Milliseconds; doubling with each try.
        throws: Exceptions that make it a dead letter at once.
    """

    max_retries: int | None = DEFAULT_MAX_RETRIES
    min_backoff: int = DEFAULT_MIN_BACKOFF_MS
    max_backoff: int = DEFAULT_MAX_BACKOFF_MS
    throws: tuple[type[BaseException], ...] = ()

    @classmethod
    def of(cls, actor: Actor[..., Any] | None) -> RetryPolicy:
        """The policy of an actor; of one that is not declared here, the default."""
        if actor is None:
            return cls()
        throws = actor.options.get("throws", ())
        return cls(
            max_retries=actor.options.get("max_retries", DEFAULT_MAX_RETRIES),
            min_backoff=actor.options.get("min_backoff", DEFAULT_MIN_BACKOFF_MS),
            max_backoff=actor.options.get("max_backoff", DEFAULT_MAX_BACKOFF_MS),
            throws=throws if isinstance(throws, tuple) else (throws,),
        )

    def backoff(self, tries: int, failure: BaseException | None) -> float | None:
        """Seconds to wait before the next try, after `tries` earlier ones; None: no more."""
        if failure is None or (self.throws and isinstance(failure, self.throws)):
            return None
        if self.max_retries is not None and tries >= self.max_retries:
            return None
        if isinstance(failure, Retry) and failure.delay is not None:
            return failure.delay / 1000
        _, backoff = compute_backoff(tries, factor=self.min_backoff, max_backoff=self.max_backoff)
        return backoff / 1000


class RetryOptions(Middleware):
    """Lets actors declare `max_retries`, `min_backoff`, `max_backoff` (ms) and `throws`."""

    @property
    def actor_options(self) -> set[str]:
        return {"max_retries", "min_backoff", "max_backoff", "throws"}
