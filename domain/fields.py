"""What a field of an imported file says: text, whole numbers, times. Each raises Invalid, naming the column.

>>> row = {"user_id": " ada ", "amount": "12900", "at": "2025-03-01T10:00:00+01:00", "note": ""}
>>> text(row, "user_id", 100), optional(row, "amount", whole), optional(row, "note", up_to(10))
('ada', 12900, None)
>>> optional(row, "at", time).isoformat()
'2025-03-01T09:00:00+00:00'
>>> text(row, "note", 10)
Traceback (most recent call last):
domain.errors.Invalid: note: is needed
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Final, TypeVar

from domain.errors import Invalid
from domain.money import MAX_AMOUNT

Row = Mapping[str, str]
"""A line, by column."""
T = TypeVar("T")
_WHOLE: Final = re.compile(r"[0-9]{1,16}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def text(row: Row, name: str, longest: int) -> str:
    """What a column says, without blanks around it; it has to say something."""
    value = (row.get(name) or "").strip()
    if not value:
        raise Invalid(name, "is needed")
    return up_to(longest)(value, name)


def optional(row: Row, name: str, read: Callable[[str, str], T]) -> T | None:
    """What a column says, or None where it says nothing."""
    value = (row.get(name) or "").strip()
    return read(value, name) if value else None


def up_to(longest: int) -> Callable[[str, str], str]:
    """Reads text of a greatest length."""

    def read(value: str, name: str) -> str:
        if len(value) > longest or "\0" in value:
            raise Invalid(name, f"has at most {longest} characters, and no NUL")
        return value

    return read


def whole(value: str, name: str) -> int:
    """A whole number from 0."""
    if not _WHOLE.fullmatch(value) or int(value) > MAX_AMOUNT:
        raise Invalid(name, "is a whole number, amounts in minor units")
    return int(value)


def time(value: str, name: str) -> datetime:
    """A time with an offset, in UTC."""
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise Invalid(name, "needs an offset, for instance 2025-03-01T10:00:00Z")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):  # the year 10000 in UTC
        raise Invalid(name, "is a time as 2025-03-01T10:00:00Z") from None


def day_or_time(value: str, name: str) -> date | datetime:
    """A day, of whichever zone, or a time with an offset, in UTC."""
    if _DAY.fullmatch(value) is None:
        return time(value, name)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise Invalid(name, "is no day of the calendar") from None
