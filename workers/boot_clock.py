"""The time that passes on this machine, whatever its clock is set to."""

import time
from functools import cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
# Linux's monotonic clock stands still while the machine sleeps, its boot clock does not; elsewhere the
# POSIX monotonic clock counts sleep.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds since this machine's boot, those of its sleep included."""
    return time.clock_gettime(_CLOCK)


@cache
def boot() -> str:
    """What names this boot of this machine (Linux's boot id); a name of this process alone elsewhere."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return f"process {time.time_ns()}"
