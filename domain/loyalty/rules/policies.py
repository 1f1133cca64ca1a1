"""When a lot expires: rolling, on a date of the calendar, or whichever comes first.

Points that live a month, earned on 31 January in Berlin; 28 February is their last valid day:

>>> from zoneinfo import ZoneInfo
>>> from datetime import UTC, datetime
>>> berlin = ZoneInfo("Europe/Berlin")
>>> earned = datetime(2026, 1, 31, 12, tzinfo=UTC)
>>> deadline_of((Rolling(months=1),), earned, berlin).isoformat()
'2026-02-28T23:00:00+00:00'

Rounded up to the end of the quarter, which the zone's summer time has reached:

>>> deadline_of((Rolling(months=1, round_up="quarter"),), earned, berlin).isoformat()
'2026-03-31T22:00:00+00:00'

All points of a year on 31 December, with 60 days of grace; together with the month, the earlier counts:

>>> year = Calendar(month=12, day=31, grace_days=60)
>>> deadline_of((year,), earned, berlin).isoformat()
'2027-03-01T23:00:00+00:00'
>>> deadline_of((year, Rolling(months=1)), earned, berlin).isoformat()
'2026-02-28T23:00:00+00:00'
>>> deadline_of((), earned, berlin) is None
True
"""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from domain.errors import Invalid
from domain.loyalty.rules.times import start_of_day

MAX_DAYS: Final = 3_660
"""Longest life of a lot, and longest grace: ten years."""
MAX_POLICIES: Final = 10
"""Most policies that one program combines."""
PERIODS: Final = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
"""Periods that a rolling deadline is rounded up to the end of, in months."""


@dataclass(frozen=True, slots=True)
class Rolling:
    """So many days or months after the day of the credit, or until the end of the period then."""

    days: int = 0
    months: int = 0
    round_up: str | None = None

    def last_day(self, credited: date) -> date:
        """The last valid day of what was credited on a day."""
        last = add_months(credited, self.months) + timedelta(self.days)
        if self.round_up is None:
            return last
        months = PERIODS[self.round_up]
        ends = (last.month - 1) // months * months + months
        return last.replace(month=ends, day=monthrange(last.year, ends)[1])


@dataclass(frozen=True, slots=True)
class Calendar:
    """On the next such day of a year, and the days of grace after it. 29 February is 28 elsewhere."""

    month: int
    day: int
    grace_days: int = 0

    def last_day(self, credited: date) -> date:
        """The last valid day of what was credited on a day."""
        ends = self._of(credited.year)
        return (ends if credited <= ends else self._of(credited.year + 1)) + timedelta(
            self.grace_days
        )

    def _of(self, year: int) -> date:
        return date(year, self.month, min(self.day, monthrange(year, self.month)[1]))


LotPolicy = Rolling | Calendar


def deadline_of(
    policies: Sequence[LotPolicy], credited_at: datetime, zone: ZoneInfo
) -> datetime | None:
    """When points credited at ``credited_at`` expire: UTC, exclusive; None where no policy says so.

    The start of the day after the last valid day in ``zone``; of several policies the earliest.
    """
    if not policies:
        return None
    day = credited_at.astimezone(zone).date()
    return start_of_day(min(policy.last_day(day) for policy in policies) + timedelta(1), zone)


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or that month's last.

    >>> add_months(date(2024, 1, 31), 1), add_months(date(2024, 2, 29), 12)
    (datetime.date(2024, 2, 29), datetime.date(2025, 2, 28))
    """
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def parse_policies(given: Sequence[Mapping[str, Any]]) -> tuple[LotPolicy, ...]:
    """Read policies as they are configured. Raises Invalid, which names the field."""
    if len(given) > MAX_POLICIES:
        raise Invalid("expiration", f"combine at most {MAX_POLICIES} policies")
    return tuple(_parse(one) for one in given)


def _parse(given: Mapping[str, Any]) -> LotPolicy:
    fields = {name: value for name, value in given.items() if name != "kind"}
    numbers = [value for name, value in fields.items() if name != "round_up"]
    if any(type(value) is not int or value < 0 for value in numbers):
        raise Invalid("expiration", "days, months and dates are whole numbers from 0")
    if given.get("kind") == "rolling" and fields.keys() <= {"days", "months", "round_up"}:
        rolling = Rolling(**fields)
        if rolling.round_up is not None and rolling.round_up not in PERIODS:
            raise Invalid("expiration.round_up", f"choose among {', '.join(PERIODS)}")
        if not 0 < rolling.days + rolling.months * 31 <= MAX_DAYS:
            raise Invalid("expiration", "a rolling policy lives for 1 day to ten years")
        return rolling
    if given.get("kind") == "calendar" and fields.keys() <= {"month", "day", "grace_days"}:
        calendar = Calendar(
            fields.get("month", 12), fields.get("day", 31), fields.get("grace_days", 0)
        )
        if not 1 <= calendar.month <= 12 or not 1 <= calendar.day <= 31:
            raise Invalid("expiration", "a calendar policy names a month and a day")
        if calendar.grace_days > MAX_DAYS or calendar.day > monthrange(2024, calendar.month)[1]:
            raise Invalid("expiration", "that day does not exist, or its grace is over ten years")
        return calendar
    raise Invalid(
        "expiration",
        'use {"kind": "rolling", "days": 365}, "months" and "round_up", or'
        ' {"kind": "calendar", "month": 12, "day": 31, "grace_days": 0}',
    )
