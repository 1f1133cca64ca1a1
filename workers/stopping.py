"""How a long-running process is told to stop."""

import signal
import threading
from types import FrameType


class Stop:
    """Set by SIGTERM or SIGINT. ``wait`` sleeps until then, or for a number of seconds."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def on_signals(self) -> "Stop":
        """Let SIGTERM and SIGINT set it. Call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        return self

    def set(self) -> None:
        """Ask to stop."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, at most ``seconds``; True if it is time to stop."""
        return self._event.wait(seconds)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._event.set()
