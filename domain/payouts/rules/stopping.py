"""What a payout says while it is kept from being sent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop in force. ``merchant_id`` or ``method`` None: all of them."""

    stop_id: int
    kind: str
    merchant_id: int | None
    method: str | None
    reason: str
    stopped_by: str

    @property
    def sentence(self) -> str:
        """What a payout waits for: who stopped it, and why. It names the stop, which is lifted by it.

        >>> Stop(3, "kill_switch", None, "stripe", "wrong amounts", "ada").sentence
        'stopped by ada: wrong amounts (stop 3)'
        """
        return f"stopped by {self.stopped_by}: {self.reason} (stop {self.stop_id})"
