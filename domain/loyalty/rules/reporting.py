"""What a report is asked for: days of a zone, what it is divided by, and what alone is counted.

>>> from zoneinfo import ZoneInfo
>>> june = wanted("2026-06-01", "2026-06-30", by=["store"], per="month", zone="Europe/Berlin")
>>> june.since.isoformat(), june.until.isoformat()      # the days in between, both included
('2026-05-31T22:00:00+00:00', '2026-06-30T22:00:00+00:00')
>>> value_of(1_500, cost_per_1000_points=333)            # 499.5: half to even
500
>>> rate_of(25, 1_000)                                   # in basis points
250
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from domain.errors import Invalid
from domain.fields import day_or_time
from domain.loyalty.rules.times import start_of_day
from domain.loyalty.rules.types import TRANSACTION_TYPES
from domain.money import BASIS_POINTS, divide_half_even

DIMENSIONS: Final = ("program", "store", "type", "staff", "device")
"""What a report can be divided by, beside the period."""
PERIODS: Final = ("day", "week", "month")
"""Weeks begin on Monday."""
MAX_DAYS: Final = 3_660
"""Longest time of a report: ten years."""
MAX_ROWS: Final = 10_000
"""Most rows of a report: what people read, and less than a spreadsheet holds."""
NAME_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """A report: rows with ``since <= transaction_at < until`` (UTC), divided by ``by`` and each ``per``
    period of ``zone``. Of the filters, None is everything."""

    since: datetime
    until: datetime
    zone: str
    by: tuple[str, ...] = ()
    per: str | None = None
    program: str | None = None
    store: str | None = None
    type: str | None = None
    staff: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Only:
    """Rows of a card's history that are asked for; None (and no types) is all. Times in UTC, the end not
    included."""

    types: tuple[str, ...] = ()
    store: str | None = None
    staff: str | None = None
    device: str | None = None
    order_reference: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING: Final = Only()


def wanted(
    first_day: str,
    last_day: str,
    *,
    zone: str,
    by: Sequence[str] = (),
    per: str | None = None,
    **only: str | None,
) -> Wanted:
    """Read what is asked for. Raises Invalid, naming the field."""
    tz = _zone(zone)
    first, last = _day(first_day, "from"), _day(last_day, "to")
    if last < first:
        raise Invalid("to", "is before the first day")
    if (last - first).days >= MAX_DAYS:
        raise Invalid("to", f"a report is of {MAX_DAYS} days at most")
    for name in by:
        if name not in DIMENSIONS:
            raise Invalid("by", f"{name!r} is none of {', '.join(DIMENSIONS)}")
    if per is not None and per not in PERIODS:
        raise Invalid("per", f"choose among {', '.join(PERIODS)}")
    kind = only.get("type")
    _check(([kind] if kind else []), only)
    return Wanted(
        start_of_day(first, tz),
        start_of_day(last + timedelta(1), tz),
        zone,
        tuple(name for name in DIMENSIONS if name in by),
        per,
        **only,
    )


def chosen(
    *,
    zone: str,
    types: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
    **only: str | None,
) -> Only:
    """Read which rows of a history are asked for: from a day of ``zone`` or a time on, to the end of a day or
    before a time. Raises Invalid, naming the field."""
    tz = _zone(zone)
    _check(types, only)
    first = None if since is None else _moment(since, "from", tz, end=False)
    last = None if until is None else _moment(until, "to", tz, end=True)
    return Only(tuple(types), since=first, until=last, **only)


def _moment(said: str, name: str, tz: ZoneInfo, *, end: bool) -> datetime:
    at = day_or_time(said, name)
    if isinstance(at, datetime):
        return at
    return start_of_day(_day(said, name) + timedelta(1 if end else 0), tz)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a folder, or no name at all
        raise Invalid("zone", f"{name!r} is not an IANA time zone such as Europe/Berlin") from None


def _check(types: Sequence[str], only: Mapping[str, str | None]) -> None:
    if not set(types) <= set(TRANSACTION_TYPES):
        raise Invalid("type", f"choose among {', '.join(TRANSACTION_TYPES)}")
    for name, value in only.items():
        if value is not None and (len(value) > NAME_MAX or "\0" in value):
            raise Invalid(name, f"has at most {NAME_MAX} characters, and no NUL")


def _day(said: str, name: str) -> date:
    day = day_or_time(said, name)
    if isinstance(day, datetime) or not _FIRST <= day <= _LAST:
        raise Invalid(name, "is a day such as 2026-06-30")
    return day


_FIRST: Final = date(1970, 1, 1)
_LAST: Final = date(9000, 1, 1)


def value_of(points: int, *, cost_per_1000_points: int | None) -> int | None:
    """What points are worth in minor units, half to even; None where the program does not say."""
    if cost_per_1000_points is None:
        return None
    return divide_half_even(points * cost_per_1000_points, 1_000)


def rate_of(part: int, whole: int) -> int | None:
    """A share in basis points, half to even; None of nothing."""
    return divide_half_even(part * BASIS_POINTS, whole) if whole > 0 else None
