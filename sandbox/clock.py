"""The sandbox's own clock, which tests move.

`created` stamps, the age of idempotency keys, the maturing of pending funds, the steps of payouts and
top-ups, the thirty days of events and the pauses between deliveries follow it. The dates inside
webhook signatures do not: receivers judge those by the real time.
"""

import time

from sandbox.errors import SandboxError


class ClockBackwards(SandboxError):
    """The clock was asked to go back, which would put new objects before old ones."""

    def __init__(self, now: int, asked: int) -> None:
        super().__init__(f"The clock stands at {now} and cannot go back to {asked}; move it on.")
        self.now = now
        self.asked = asked


class Clock:
    """Real time plus an offset that only grows. Times are whole seconds since 1970, UTC."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    def now(self) -> int:
        """Return the sandbox's time."""
        return int(self.exact())

    def exact(self) -> float:
        """Return the sandbox's time with its fraction of a second."""
        return time.time() + self.offset

    def move_to(self, moment: int) -> None:
        """Put the clock at `moment`.

        Raises:
            ClockBackwards: `moment` is earlier than the present.
        """
        now = self.now()
        if moment < now:
            raise ClockBackwards(now, moment)
        self.offset += moment - now
