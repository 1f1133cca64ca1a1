"""Times as people give them to commands."""

from datetime import UTC, datetime

from domain.errors import Invalid


def utc(option: str, given: str | None) -> datetime | None:
    """A day or a time in UTC, if one was given. Raises Invalid, which names the option."""
    if given is None:
        return None
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        raise Invalid(option, f"{given!r} is no day or time, as 2026-06-01") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
