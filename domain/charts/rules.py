"""Durations as a histogram of fixed bounds, so that minutes and processes can be added up.

The bounds grow by the square root of two, from one millisecond to a quarter of an hour: a percentile is told
within the bucket in which it is, so never wrong by more than that factor.

>>> counts = histogram([0.010] * 98 + [2.0, 2.0])
>>> [round(percentile(counts, share), 3) for share in (0.5, 0.95, 0.99)]
[0.01, 0.011, 1.748]
>>> percentile(histogram([]), 0.5) is None
True
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

BOUNDS: Final = tuple(0.001 * 2 ** (step / 2) for step in range(40))
"""Upper bounds in seconds; what took longer than the last, 741 s, is in a bucket of its own."""
BUCKETS: Final = len(BOUNDS) + 1


def bucket(seconds: float) -> int:
    """The bucket of a duration."""
    return bisect_left(BOUNDS, seconds)


def histogram(durations: Iterable[float]) -> list[int]:
    """How many durations (seconds) are in each bucket."""
    counts = [0] * BUCKETS
    for one in durations:
        counts[bucket(one)] += 1
    return counts


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The seconds below which ``share`` of all are, evenly spread inside a bucket; None without any.

    Of what is beyond the last bound only that is known: it is told as the bound.
    """
    assert 0 < share <= 1, "a share is above nothing, up to all"
    wanted, passed = share * sum(counts), 0
    if not wanted:
        return None
    for at, count in enumerate(counts):
        if count and passed + count >= wanted:
            if at == len(BOUNDS):
                return BOUNDS[-1]
            low = BOUNDS[at - 1] if at else 0.0
            return low + (BOUNDS[at] - low) * (wanted - passed) / count
        passed += count
    raise AssertionError("a share of all is within all")
