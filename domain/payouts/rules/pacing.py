"""How messages of a run are spread in time, so that no run stands in front of another merchant's."""


def pace_delay(n: int, rate: float) -> float:
    """Seconds after the first at which message ``n`` (from 0) is due, at ``rate`` a second (0: no limit).

    >>> [pace_delay(n, 20) for n in (0, 1, 10_000)]
    [0.0, 0.05, 500.0]
    >>> pace_delay(10_000, 0)
    0.0
    """
    return n / rate if rate else 0.0
