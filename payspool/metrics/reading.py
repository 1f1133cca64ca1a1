"""Reads something within a bounded time, however long its server keeps silent."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")


class BoundedReading(Generic[T]):
    """Runs ``read`` in at most one thread, for whoever asks.

    A read that hangs is not started again beside itself; its thread is a daemon and holds up no exit.
    """

    def __init__(self, name: str, read: Callable[[], T]) -> None:
        self._name = name
        self._read = read
        self._thread: threading.Thread | None = None
        self._found: T | None = None

    def begin(self) -> None:
        """Start to read, unless that is still going on."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._found = None
        self._thread = threading.Thread(target=self._run, name=f"metrics-{self._name}", daemon=True)
        self._thread.start()

    def end(self, deadline: float) -> T | None:
        """What was read; None if it failed or took longer than ``deadline`` (monotonic seconds)."""
        assert self._thread is not None, "begin() comes first"
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return None if self._thread.is_alive() else self._found

    def _run(self) -> None:
        try:
            self._found = self._read()
        except Exception as error:
            # A scrape must tell that a server is away, not fail with it.
            log.warning("metrics.unread", server=self._name, error=str(error).splitlines()[:1])
