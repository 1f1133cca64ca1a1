"""How fast a card, a staff PIN, a device or an address may earn and redeem, and what becomes of what is faster.

>>> from datetime import UTC, datetime
>>> (limit,) = parse_limits([{"per": "pin", "what": "earn", "minutes": 60, "count": 20, "then": "hold"}])
>>> print(begins(limit.minutes, datetime(2026, 6, 1, 12, 59, tzinfo=UTC)))
2026-06-01 12:00:00+00:00
>>> broken(limit, acts=19, points=500, more=30), broken(limit, acts=20, points=530, more=30)
(None, {'count': 20, 'reached': 21})
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from domain.errors import Invalid

PER: Final = ("card", "pin", "device", "address")
"""What is counted for."""
WHAT: Final = ("earn", "redeem")
"""What is counted: points and stamps that are earned, or redeemed at once or held for that."""
THEN: Final = ("flag", "hold", "refuse")
"""What becomes of an act beyond a limit, the mildest first: of several the strictest does."""
LIMITS_MAX: Final = 20
"""Limits of a policy: each costs a counter that is locked while an act is booked."""
MINUTES_MAX: Final = 31 * 24 * 60
"""Longest window."""
MOST: Final = 2**53 - 1
COUNTS_KEPT: Final = timedelta(days=70)
"""How long a count is kept after its window began: twice the longest window and more, so that an act that comes
weeks late is still counted with its neighbours. Later ones begin a count of their own."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS: Final = frozenset({"per", "what", "minutes", "count", "points", "then"})


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` acts, and ``points`` points in them, in each window of ``minutes``; None: any number."""

    per: str
    what: str
    minutes: int
    count: int | None
    points: int | None
    then: str


def parse_limits(configured: Any) -> tuple[Limit, ...]:
    """Read the limits of a policy. Raises Invalid, naming the place and what it may be."""
    if not isinstance(configured, Sequence) or isinstance(configured, str):
        raise Invalid("limits", "is a list of limits; an empty one limits nothing")
    if len(configured) > LIMITS_MAX:
        raise Invalid("limits", f"are at most {LIMITS_MAX}")
    return tuple(_parse(f"limits.{n}", one) for n, one in enumerate(configured))


def _parse(at: str, said: Any) -> Limit:
    if not isinstance(said, Mapping):
        raise Invalid(at, 'is an object such as {"per": "pin", "what": "earn", "minutes": 60}')
    unknown = sorted(set(said) - _FIELDS)
    if unknown:
        raise Invalid(f"{at}.{unknown[0]}", f"is not known; there are {', '.join(sorted(_FIELDS))}")
    for name, allowed in (("per", PER), ("what", WHAT), ("then", THEN)):
        if said.get(name) not in allowed:
            raise Invalid(f"{at}.{name}", f"is one of {', '.join(allowed)}")
    for name, most in (("minutes", MINUTES_MAX), ("count", MOST), ("points", MOST)):
        value = said.get(name)
        if value is None and name != "minutes":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise Invalid(f"{at}.{name}", f"is from 1 to {most}")
    if said.get("count") is None and said.get("points") is None:
        raise Invalid(at, "needs a `count`, `points`, or both")
    return Limit(
        said["per"],
        said["what"],
        said["minutes"],
        said.get("count"),
        said.get("points"),
        said["then"],
    )


def begins(minutes: int, at: datetime) -> datetime:
    """When the window of ``at`` begins: windows follow one another from the start of 1970 in UTC."""
    window = timedelta(minutes=minutes)
    return _EPOCH + (at - _EPOCH) // window * window


def broken(limit: Limit, *, acts: int, points: int, more: int) -> dict[str, int] | None:
    """What of a limit an act of ``more`` points breaks after ``acts`` and ``points`` of its window; None: nothing."""
    if limit.count is not None and acts + 1 > limit.count:
        return {"count": limit.count, "reached": acts + 1}
    if limit.points is not None and points + more > limit.points:
        return {"points": limit.points, "reached": points + more}
    return None
