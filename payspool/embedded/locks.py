"""File locks that the kernel releases when their last holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


def try_lock(path: Path) -> int | None:
    """Take an exclusive `flock`, without waiting; the descriptor that holds it, or None.

    The lock belongs to the open file, not to a process: handed to a child (`pass_fds`), it is held
    until the child and all of its children have gone, which no `kill -9` can get around.

    Raises OSError if the file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    if _is_still(path, descriptor):
        return descriptor
    os.close(descriptor)  # the file was replaced between open and lock: its lock protects nothing
    return None


def _is_still(path: Path, descriptor: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False
