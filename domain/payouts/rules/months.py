"""A calendar month somewhere, as an interval of time.

>>> month_of("2026-06", "Europe/Berlin")[0].isoformat()
'2026-05-31T22:00:00+00:00'
"""

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from domain.errors import Invalid

_MONTH: Final = re.compile(r"([12]\d{3})-(0[1-9]|1[0-2])", re.ASCII)


def month_of(month: str, zone: str) -> tuple[datetime, datetime]:
    """When a month (``2026-06``) begins and ends in an IANA zone, in UTC. Raises Invalid."""
    matched = _MONTH.fullmatch(month)
    if matched is None:
        raise Invalid("month", f"{month!r} is not of the form 2026-06")
    try:
        there = ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise Invalid("--zone", f"{zone!r} is no IANA time zone, as Europe/Berlin") from None
    year, number = int(matched[1]), int(matched[2])
    begins = datetime(year, number, 1, tzinfo=there)
    ends = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=there)
    return begins.astimezone(UTC), ends.astimezone(UTC)
