"""Log files of bounded size, written by processes that we started and that may outlive us."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LOG_LIMIT_BYTES = 10 * 2**20  # of the live file; one older file of the same size is kept beside it
TAIL_BYTES = 16 * 2**10


class BoundedLog:
    """A file that a child process appends to, cut when it grows over its limit.

    The child writes straight to the file (O_APPEND), not through a pipe: what it says while its
    supervisor is dying is kept, and nothing blocks it. The file is cut by copying and truncating,
    so a line written between the two can be lost; that is the price of not being in its way.
    """

    def __init__(self, path: Path, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
        self.path = path
        self.limit_bytes = limit_bytes

    def open(self) -> int:
        """A file descriptor to hand to a child as its output. The caller closes it."""
        self.trim()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self.path, flags, 0o600)

    def trim(self) -> None:
        """Move the content to `<name>.1` if it has outgrown the limit."""
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_size <= self.limit_bytes:
                return
            older = self.path.with_name(self.path.name + ".1")
            older.write_bytes(self._last(self.limit_bytes))
            os.truncate(self.path, 0)

    def size(self) -> int:
        """Bytes in the live file now."""
        with contextlib.suppress(OSError):
            return self.path.stat().st_size
        return 0

    def tail(self, lines: int = 15, since: int = 0) -> str:
        """The last lines, for an error message; only of what was written after byte `since`."""
        with contextlib.suppress(OSError):
            wanted = min(TAIL_BYTES, max(0, self.size() - since))
            text = self._last(wanted).decode(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def _last(self, size: int) -> bytes:
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            return file.read(size)
