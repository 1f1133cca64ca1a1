"""Days on which euro payments are settled: the calendar of the ECB's TARGET system.

>>> next_working_day(date(2026, 12, 24)), closed(date(2026, 4, 3))
(datetime.date(2026, 12, 28), True)
"""

from datetime import date, timedelta


def closed(day: date) -> bool:
    """Whether TARGET is closed: Saturdays, Sundays, New Year's Day, Good Friday, Easter Monday, 1 May, and
    25 and 26 December (ECB, TARGET closing days)."""
    easter = easter_sunday(day.year)
    return (
        day.weekday() >= 5
        or (day.month, day.day) in ((1, 1), (5, 1), (12, 25), (12, 26))
        or day in (easter - timedelta(days=2), easter + timedelta(days=1))
    )


def next_working_day(after: date) -> date:
    """The first day after ``after`` on which TARGET is open."""
    day = after + timedelta(days=1)
    while closed(day):
        day += timedelta(days=1)
    return day


def easter_sunday(year: int) -> date:
    """Easter of a Gregorian year, by the method of Meeus, Jones and Butcher.

    >>> easter_sunday(2025), easter_sunday(2026), easter_sunday(2038)
    (datetime.date(2025, 4, 20), datetime.date(2026, 4, 5), datetime.date(2038, 4, 25))
    """
    golden = year % 19
    century, of_century = divmod(year, 100)
    leaps, rest = divmod(century, 4)
    moved = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leaps - moved + 15) % 30
    years, odd = divmod(of_century, 4)
    weekday = (32 + 2 * rest + 2 * years - epact - odd) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)
