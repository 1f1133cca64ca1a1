"""What processes tell of their work while they do it, to whoever counts it.

The composition root passes a ``Watch`` down; the functions that work know no metrics library.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from domain.inbox.rules import Outcome


class Watch(Protocol):
    """Told after something happened. A call is cheap and never raises."""

    def batch_committed(self, *, events: int, seconds: float, published_ms: Sequence[int]) -> None:
        """A batch of the events queue is committed: how large it was, how long it took, and when its
        messages were published (Unix milliseconds, by the producers' clocks)."""

    def events_decided(self, outcomes: Sequence[Outcome]) -> None:
        """What became of events, after their commit."""

    def payout_handled(self, outcome: str) -> None:
        """What a send or a resolution came to: a verdict, ``left`` or ``waits``."""

    def gateway_called(self, method: str, call: str, outcome: str, seconds: float) -> None:
        """A call of a gateway ended."""

    def webhooks_missed(self, events: int) -> None:
        """Polling found events that a webhook should have brought long before."""

    def message_processed(self, actor: str, *, ok: bool, seconds: float) -> None:
        """An actor ended, well or with an exception."""

    def relayed(self, rows: int) -> None:
        """The relay enqueued rows of the outbox."""

    def fired(self, fires: int) -> None:
        """The scheduler made fires."""

    def webhook_sent(self, outcome: str, result: str, seconds: float) -> None:
        """The courier tried to deliver a webhook: what came of the attempt (delivered, refused, unreached),
        and of the delivery (delivered, retried, failed, late)."""

    def turned(self) -> None:
        """A loop (relay, scheduler, courier) came round: it is not stuck."""


class Unwatched:
    """Nobody counts."""

    def batch_committed(
        self, *, events: int, seconds: float, published_ms: Sequence[int]
    ) -> None: ...
    def events_decided(self, outcomes: Sequence[Outcome]) -> None: ...
    def payout_handled(self, outcome: str) -> None: ...
    def gateway_called(self, method: str, call: str, outcome: str, seconds: float) -> None: ...
    def webhooks_missed(self, events: int) -> None: ...
    def message_processed(self, actor: str, *, ok: bool, seconds: float) -> None: ...
    def relayed(self, rows: int) -> None: ...
    def fired(self, fires: int) -> None: ...
    def webhook_sent(self, outcome: str, result: str, seconds: float) -> None: ...
    def turned(self) -> None: ...


UNWATCHED: Final = Unwatched()
