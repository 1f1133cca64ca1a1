"""What is held because it may be fraud: who looks like the same person, and who is too fast.

>>> from datetime import UTC, datetime
>>> policy = HoldPolicy(code_per_hour=20, referrer_per_day=50)
>>> [(limit.per, limit.span, limit.most) for limit in limits(policy)]
[('code', 'hour', 20), ('referrer', 'day', 50)]
>>> print(begins("hour", datetime(2026, 6, 1, 12, 59, tzinfo=UTC)))
2026-06-01 12:00:00+00:00
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final, NamedTuple

SAME_EMAIL: Final = "same_email"
VELOCITY: Final = "velocity"
SHARED_DESTINATION: Final = "shared_destination"

COUNTS_KEPT: Final = timedelta(days=35)
"""How long what counted in a day and its hours is kept after the day was over: a conversion that comes so late
is still counted with its neighbours. The longest span is a day; later ones begin a count of their own."""


@dataclass(frozen=True, slots=True)
class HoldPolicy:
    """What is looked at. Limits are conversions that count before the next are held; None: any number.

    Without a policy only e-mail addresses are compared, where events bring them: to look up where people
    are paid costs a look at every conversion.
    """

    same_email: bool = True
    shared_destination: bool = False
    code_per_hour: int | None = None
    code_per_day: int | None = None
    referrer_per_hour: int | None = None
    referrer_per_day: int | None = None


class Limit(NamedTuple):
    """At most so many conversions per code or referrer in a span: an hour or a day of UTC."""

    per: str
    span: str
    most: int


def limits(policy: HoldPolicy) -> list[Limit]:
    """The limits that a policy sets."""
    said = (
        ("code", "hour", policy.code_per_hour),
        ("code", "day", policy.code_per_day),
        ("referrer", "hour", policy.referrer_per_hour),
        ("referrer", "day", policy.referrer_per_day),
    )
    return [Limit(per, span, most) for per, span, most in said if most is not None]


def by_subject(policy: HoldPolicy) -> list[tuple[str, list[Limit]]]:
    """The same, by what they are limits of: a code, a referrer."""
    return [(per, list(of_one)) for per, of_one in groupby(limits(policy), lambda one: one.per)]


def begins(span: str, at: datetime) -> datetime:
    """When the hour or day of ``at`` begins: by the conversion's own time, so that late ones count there."""
    start = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return start.replace(hour=0) if span == "day" else start
