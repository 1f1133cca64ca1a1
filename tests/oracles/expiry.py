"""When points expire, computed a second time by walking the calendar day by day and the clock minute by minute.

Shares no code with the domain. Slow and plain on purpose: nothing here adds months or looks offsets up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)


def is_end_of(period: str, day: date) -> bool:
    """Whether a period of the year ends with a day."""
    following = day + ONE_DAY
    if following.day != 1:
        return False
    starts = {"month": range(1, 13), "quarter": (1, 4, 7, 10), "half_year": (1, 7), "year": (1,)}
    return following.month in starts[period]


def same_day_of_next_month(day: date, wanted: int) -> date:
    """The ``wanted``-th of the next month, or its last day: walked."""
    walk = day + ONE_DAY
    while walk.day != 1:
        walk += ONE_DAY
    while walk.day < wanted and (walk + ONE_DAY).day != 1:
        walk += ONE_DAY
    return walk


def last_valid_day(policy: dict[str, Any], credited: date) -> date:
    """The last day on which points of a policy count."""
    day = credited
    if policy["kind"] == "rolling":
        for _ in range(policy.get("months", 0)):
            day = same_day_of_next_month(day, credited.day)
        for _ in range(policy.get("days", 0)):
            day += ONE_DAY
        if policy.get("round_up"):
            while not is_end_of(policy["round_up"], day):
                day += ONE_DAY
        return day
    leap = (policy["month"], policy["day"]) == (2, 29)
    while (day.month, day.day) != (policy["month"], policy["day"]) and not (
        leap and (day.month, day.day) == (2, 28) and (day + ONE_DAY).day == 1
    ):
        day += ONE_DAY
    for _ in range(policy.get("grace_days", 0)):
        day += ONE_DAY
    return day


@cache
def first_instant_after(day: date, zone: str) -> datetime:
    """The first minute (UTC) at which calendars in a zone show a later day than ``day``."""
    clock = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=16)
    place = ZoneInfo(zone)
    for step in (timedelta(hours=1), timedelta(minutes=1)):
        while (clock + step).astimezone(place).date() <= day:
            clock += step
    return clock + timedelta(minutes=1)


@dataclass
class Program:
    """The terms that matter here."""

    zone: str
    policies: list[dict[str, Any]]
    inactivity_days: int | None = None
    _ends: dict[date, datetime | None] = field(default_factory=dict)

    def ends_of(self, day: date) -> datetime | None:
        """The end of what is credited on a day, inactivity apart."""
        if day not in self._ends:
            own = [first_instant_after(last_valid_day(p, day), self.zone) for p in self.policies]
            self._ends[day] = min(own, default=None)
        return self._ends[day]


@dataclass
class Account:
    """A card that earns and spends: [points, own deadline] of each lot, and when it last did either."""

    program: Program
    lots: list[list[Any]] = field(default_factory=list)
    last: datetime | None = None

    def day(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.program.zone)).date()

    def period_ends(self) -> datetime | None:
        days = self.program.inactivity_days
        if days is None or self.last is None:
            return None
        return first_instant_after(self.day(self.last) + days * ONE_DAY, self.program.zone)

    def pass_to(self, at: datetime) -> list[tuple[datetime, int]]:
        """Let time pass; what expired, and when, in order."""
        gone: dict[datetime, int] = {}
        ends = self.period_ends()
        for lot in self.lots:
            deadlines = [d for d in (lot[1], ends) if d is not None]
            if lot[0] and deadlines and min(deadlines) <= at:
                gone[min(deadlines)] = gone.get(min(deadlines), 0) + lot[0]
                lot[0] = 0
        if ends is not None and ends <= at:
            self.last = None
        return sorted(gone.items())

    def earn(self, points: int, at: datetime) -> list[tuple[datetime, int]]:
        expired = self.pass_to(at)
        self.lots.append([points, self.program.ends_of(self.day(at))])
        self.last = at
        return expired

    def spend(self, points: int, at: datetime) -> list[tuple[datetime, int]]:
        """Take what ends first; nothing where there is less."""
        expired = self.pass_to(at)
        if self.balance() < points:
            return expired
        for lot in sorted(self.lots, key=lambda lot: lot[1] or datetime.max.replace(tzinfo=UTC)):
            part = min(lot[0], points)
            lot[0] -= part
            points -= part
        self.last = at
        return expired

    def balance(self) -> int:
        return sum(lot[0] for lot in self.lots)
