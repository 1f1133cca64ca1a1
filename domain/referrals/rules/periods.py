"""Periods of tiers that begin anew: calendar months, quarters and years of UTC.

>>> from datetime import UTC, datetime
>>> at = datetime(2026, 11, 26, 15, tzinfo=UTC)
>>> [f"{begins('quarter', at):%Y-%m-%d}", f"{ends('quarter', begins('quarter', at)):%Y-%m-%d}"]
['2026-10-01', '2027-01-01']
"""

from datetime import UTC, datetime
from typing import Final

PERIODS: Final = ("month", "quarter", "year")
LIFETIME: Final = "lifetime"
"""What a rule says whose tiers never begin anew, as it is without a period."""
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}


def begins(period: str, at: datetime) -> datetime:
    """When the period of ``at`` begins."""
    day = at.astimezone(UTC)
    months = _MONTHS[period]
    first = (day.month - 1) // months * months + 1
    return datetime(day.year, first, 1, tzinfo=UTC)


def ends(period: str, start: datetime) -> datetime:
    """When the period that begins at ``start`` ends: the beginning of the next."""
    months = start.year * 12 + start.month - 1 + _MONTHS[period]
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
