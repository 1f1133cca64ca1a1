"""When a schedule fires. Cron arithmetic is cronsim's, in the schedule's zone; results are UTC.

>>> from datetime import UTC, datetime
>>> night = Cron("0 3 1 * *", "Europe/Berlin")               # 03:00 on the first of each month
>>> next_after(night, datetime(2026, 6, 15, tzinfo=UTC))
datetime.datetime(2026, 7, 1, 1, 0, tzinfo=datetime.timezone.utc)
>>> due_fires(night, datetime(2026, 7, 1, 1, 0, tzinfo=UTC), datetime(2026, 9, 2, tzinfo=UTC), catch_up="latest")
[datetime.datetime(2026, 9, 1, 1, 0, tzinfo=datetime.timezone.utc)]
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from domain.errors import Invalid

MAX_CATCH_UP: Final = 1_000
"""Fires made up for at most in one tick with ``catch_up = all``; the rest follow in the next ticks."""
CRON_FIELDS: Final = 5
"""Minute, hour, day of month, month, day of week. A sixth, for seconds, is for intervals."""
CLOCK_CHANGE: Final = timedelta(hours=3)
"""More than any zone puts its clocks on or back at once."""


MAX_JUMP: Final = timedelta(minutes=10)
"""How far the database's clock may go another way than elapsed time before a person has to look."""


@dataclass(frozen=True, slots=True)
class Tick:
    """When a scheduler looked: by PostgreSQL's clock, and by the seconds since its machine's ``boot``
    (empty: not known), which nobody sets and which count while it sleeps."""

    at: datetime
    boot: str
    elapsed: float


def clock_jump(before: Tick | None, now: Tick) -> timedelta:
    """How far PostgreSQL's clock went beside the time that passed, as far as that can be known.

    >>> from datetime import UTC, datetime
    >>> noon, three = datetime(2026, 6, 1, 12, tzinfo=UTC), datetime(2026, 6, 1, 15, tzinfo=UTC)
    >>> clock_jump(Tick(noon, "a", 100.0), Tick(three, "a", 160.0))           # three hours in a minute
    datetime.timedelta(seconds=10740)
    >>> clock_jump(Tick(noon, "a", 100.0), Tick(three, "a", 10_900.0))        # it slept for three hours
    datetime.timedelta(0)
    >>> clock_jump(Tick(noon, "a", 100.0), Tick(three, "b", 5.0))             # another boot: who knows
    datetime.timedelta(0)
    >>> clock_jump(Tick(three, "a", 100.0), Tick(noon, "b", 5.0)).total_seconds()   # never runs backwards
    -10800.0
    """
    if before is None:
        return timedelta(0)
    went = now.at - before.at
    if before.boot and before.boot == now.boot:
        return went - timedelta(seconds=now.elapsed - before.elapsed)
    return min(went, timedelta(0))


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in an IANA zone, on business time."""

    expression: str
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Every:
    """An interval in seconds, on real time: technical sweeps."""

    seconds: int


Timing = Cron | Every


def validate(timing: Timing) -> None:
    """Raises Invalid, naming the field, for a cron expression, zone or interval that cannot be used."""
    if isinstance(timing, Every):
        if timing.seconds < 1:
            raise Invalid("every_seconds", "must be at least 1")
        return
    try:
        ZoneInfo(timing.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: `Europe` is a directory
        raise Invalid("zone", f"{timing.zone!r} is no IANA time zone (as Europe/Berlin)") from None
    if len(timing.expression.split()) != CRON_FIELDS:
        raise Invalid("cron", f"{timing.expression!r} must have {CRON_FIELDS} fields, as 0 3 1 * *")
    try:
        CronSim(timing.expression, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise Invalid("cron", f"{timing.expression!r} is not understood: {error}") from None


def next_after(timing: Timing, after: datetime) -> datetime:
    """The first fire strictly after ``after`` (UTC in, UTC out).

    Intervals are aligned to the epoch, so that several schedulers agree without talking.
    """
    if isinstance(timing, Every):
        seconds = int(after.timestamp()) // timing.seconds * timing.seconds + timing.seconds
        return datetime.fromtimestamp(seconds, UTC)
    local = CronSim(timing.expression, after.astimezone(ZoneInfo(timing.zone)))
    # In the second of two equal hours the first answer lies in the first of them.
    return next(fire for fire in (one.astimezone(UTC) for one in local) if fire > after)


def due_fires(
    timing: Timing, next_fire_at: datetime, now: datetime, *, catch_up: str
) -> list[datetime]:
    """Fires that are due at ``now``, oldest first; with ``latest`` only the newest of them."""
    if isinstance(timing, Every):
        latest = next_after(timing, now - timedelta(seconds=timing.seconds))
        return [latest] if latest >= next_fire_at else [next_fire_at] if next_fire_at <= now else []
    if next_fire_at > now:
        return []
    if catch_up == "latest":
        return [_latest(timing, next_fire_at, now)]
    fires = [next_fire_at]
    while len(fires) < MAX_CATCH_UP and (fire := next_after(timing, fires[-1])) <= now:
        fires.append(fire)
    return fires


def _latest(timing: Cron, first: datetime, now: datetime) -> datetime:
    """The newest fire up to ``now``, found backwards from it: a jump of years costs no more than an hour."""
    local = now.astimezone(ZoneInfo(timing.zone)) + timedelta(minutes=1)
    back = (one.astimezone(UTC) for one in CronSim(timing.expression, local, reverse=True))
    near = next((fire for fire in back if fire <= now), first)
    # The last steps forwards, as every other fire is found: clocks that are put on or back in between
    # are counted in one way only.
    fire = max(first, near - CLOCK_CHANGE)
    if fire > first:
        fire = next_after(timing, fire)
        if fire > now:
            return first
    while (following := next_after(timing, fire)) <= now:
        fire = following
    return fire
