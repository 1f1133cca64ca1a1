"""What a run takes of this process's memory."""

import threading
from typing import Any, Final, Self

import psutil

SAMPLE_SECONDS: Final = 0.05
MIB: Final = 2**20


class Memory:
    """How much this process grows while it is entered, at most."""

    def __enter__(self) -> Self:
        self._process, self._ended = psutil.Process(), threading.Event()
        self._before = self._most = self._process.memory_info().rss
        self._sampling = threading.Thread(target=self._sample)
        self._sampling.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._ended.set()
        self._sampling.join()

    @property
    def mib(self) -> float:
        """MiB; at least one page, so that a figure is told."""
        return max(self._most - self._before, 4096) / MIB

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._most = max(self._most, self._process.memory_info().rss)
