"""Files of what goes: compressed lines of JSON, on the disk before the database lets go of them."""

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from domain.errors import Invalid
from domain.retention.rules import Archived, Retention

MODE: Final = 0o600
"""They hold what people said; nobody else reads them."""


class Archive:
    """A folder of archives, with one below it for each subject. The `Keeper` of production."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, retention: Retention) -> "Archive | None":
        """The one that is asked for, if any is."""
        return None if retention.archive is None else cls(retention.archive)

    def write(self, subject: str, rows: Sequence[Mapping[str, Any]]) -> Archived:
        """Write ``rows``, which have an ``id`` and ascend by it, into a file that is named by the first and last.

        When it returns, the file and its name are on the disk. One that is there already is of a run that was
        stopped before its rows went, and is replaced. Raises Invalid where it cannot be written.
        """
        content = gzip.compress(b"".join(map(_line, rows)), mtime=0)
        folder = self._folder / subject
        name = f"{rows[0]['id']:019d}-{rows[-1]['id']:019d}.jsonl.gz"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = folder / f"{name}.part"
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE)
            with os.fdopen(descriptor, "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            part.replace(folder / name)
            for named in (folder, self._folder):
                _sync(named)
        except OSError as error:
            raise Invalid(
                "PAYSPOOL_RETENTION_ARCHIVE",
                f"{folder} cannot be written ({error.strerror}); nothing was pruned",
            ) from None
        digest = hashlib.sha256(content).hexdigest()
        return Archived(f"{subject}/{name}", len(rows), len(content), digest)

    def check(self, files: Iterable[Any]) -> list[str]:
        """Which of (file, sha256) are not there, or not as they were written."""
        return [one.file for one in files if self._digest(one.file) != one.sha256]

    def _digest(self, file: str) -> str | None:
        try:
            return hashlib.sha256((self._folder / file).read_bytes()).hexdigest()
        except OSError:
            return None


def _line(row: Mapping[str, Any]) -> bytes:
    return (
        json.dumps(row, default=_plain, ensure_ascii=False).encode("utf-8", "backslashreplace")
        + b"\n"
    )


def _plain(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _sync(folder: Path) -> None:
    """A new name is on the disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
