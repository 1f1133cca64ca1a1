"""Time in loyalty: by which time an event counts, and when inactivity ends a balance.

>>> from zoneinfo import ZoneInfo
>>> from datetime import UTC, datetime
>>> leap_day = datetime(2024, 2, 29, 12, tzinfo=UTC)
>>> inactivity_deadline(leap_day, 365, ZoneInfo("UTC")).isoformat()     # last valid day: 28 February 2025
'2025-03-01T00:00:00+00:00'
>>> before_the_change = datetime(2026, 3, 28, 12, tzinfo=UTC)           # clocks move on the 29th
>>> inactivity_deadline(before_the_change, 1, ZoneInfo("Europe/Berlin")).isoformat()
'2026-03-29T22:00:00+00:00'
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


def effective_time(
    happened_at: datetime, now: datetime, *, backdating_days: int, expired_through: datetime | None
) -> datetime:
    """The time that the rules go by for an event that happened at ``happened_at`` (all UTC).

    The event's own, but not older than the backdating limit and not before an expiry that is already
    booked on the card: beyond either, the time of reception ``now``. Never later than ``now``
    (producers' clocks may be minutes ahead).
    """
    too_old = happened_at < now - timedelta(days=backdating_days)
    if too_old or (expired_through is not None and happened_at < expired_through):
        return now
    return min(happened_at, now)


def inactivity_deadline(last_activity_at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """When a balance expires after ``days`` days without activity: UTC, exclusive.

    The last valid day is ``days`` calendar days after the day of the activity in ``zone``; the deadline
    is the start of the day after it. Where a clock change removes midnight, that is the first instant
    of the day; where it repeats midnight, the first of the two.
    """
    return start_of_day_after(last_activity_at, days, zone)


def start_of_day_after(at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The end of the day that is ``days`` calendar days after ``at``'s in ``zone``: UTC, exclusive."""
    return start_of_day(at.astimezone(zone).date() + timedelta(days + 1), zone)


@lru_cache(maxsize=4096)
def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of ``day`` in ``zone``, in UTC."""
    # fold=0: before a gap's transition, which is its first instant; the first of two midnights.
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
