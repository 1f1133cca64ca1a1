"""Cron expressions in words, where words are shorter than the expression.

>>> in_words("0 3 * * *"), in_words("30 6 1 * *"), in_words("0 9 * * 1"), in_words("*/5 * * * *")
('daily at 03:00', 'on day 1 of each month at 06:30', 'on Monday at 09:00', 'every 5 minutes')
>>> in_words("0 9-17 * 1,6 *")
'0 9-17 * 1,6 *'
"""

from typing import Final

_DAYS: Final = (
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)


def in_words(expression: str) -> str:
    """What a cron expression says, or the expression where it says more than a phrase."""
    parts = expression.split()
    if len(parts) != 5:
        return expression
    minute, hour, day, month, weekday = parts
    if month != "*":
        return expression
    if (hour, day, weekday) == ("*", "*", "*"):
        if minute.startswith("*/") and minute[2:].isdigit():
            return f"every {minute[2:]} minutes"
        return f"hourly at minute {minute}" if minute.isdigit() else expression
    if not (minute.isdigit() and hour.isdigit()):
        return expression
    at = f"{int(hour):02}:{int(minute):02}"
    if (day, weekday) == ("*", "*"):
        return f"daily at {at}"
    if day.isdigit() and weekday == "*":
        return f"on day {day} of each month at {at}"
    if day == "*" and weekday.isdigit() and int(weekday) < len(_DAYS):
        return f"on {_DAYS[int(weekday)]} at {at}"
    return expression
