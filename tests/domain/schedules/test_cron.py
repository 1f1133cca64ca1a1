"""Cron in a zone against a slow model that looks at every minute."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.schedules.rules import MAX_CATCH_UP, Cron, Every, due_fires, next_after, validate

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"]
CHANGES = {
    "UTC": datetime(2026, 5, 1, tzinfo=UTC),
    "Europe/Berlin": datetime(2026, 10, 25, 1, tzinfo=UTC),
    "America/New_York": datetime(2026, 3, 8, 7, tzinfo=UTC),
    "Asia/Kathmandu": datetime(2026, 5, 1, tzinfo=UTC),
    "Pacific/Auckland": datetime(2026, 4, 4, 14, tzinfo=UTC),
}


def exists(local: datetime) -> bool:
    return local.astimezone(UTC).astimezone(local.tzinfo) == local


def fixed_times(minutes: list[int], hours: list[int], zone: str, day: date) -> Iterator[datetime]:
    """A job at stated times runs once a day at each: at the first of two equal hours, and at the end
    of a skipped one."""
    for hour in hours:
        for minute in minutes:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))
            while not exists(local):
                local += MINUTE
            yield local.astimezone(UTC)


small_sets = st.lists(st.integers(0, 59), min_size=1, max_size=3, unique=True).map(sorted)
hour_sets = st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True).map(sorted)


@settings(max_examples=60, deadline=None)
@given(small_sets, hour_sets, st.sampled_from(ZONES), st.integers(-2_000, 2_000))
def test_a_job_at_stated_times_runs_once_a_local_day_at_each_of_them(
    minutes: list[int], hours: list[int], zone: str, offset: int
) -> None:
    timing = Cron(f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *", zone)
    after = CHANGES[zone] + offset * MINUTE
    today = after.astimezone(ZoneInfo(zone)).date()
    expected = sorted(
        {
            fire
            for n in range(-1, 4)
            for fire in fixed_times(minutes, hours, zone, today + n * DAY)
            if fire > after
        }
    )
    for fire in expected[:6]:
        assert next_after(timing, after) == fire
        after = fire


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["*", "*/7", "*/20", "0", "15,45"]),
    st.sampled_from(["*", "*/2", "*/5"]),
    st.sampled_from(ZONES),
    st.integers(-400, 400),
)
def test_a_job_of_every_so_often_runs_whenever_the_wall_clock_matches(
    minutes: str, hours: str, zone: str, offset: int
) -> None:
    timing = Cron(f"{minutes} {hours} * * *", zone)
    after = CHANGES[zone] + offset * MINUTE
    for _ in range(5):
        moment = after.replace(second=0, microsecond=0) + MINUTE
        while True:
            local = moment.astimezone(ZoneInfo(zone))
            if matches(minutes, local.minute) and matches(hours, local.hour):
                break
            moment += MINUTE
        assert next_after(timing, after) == moment
        after = moment


def matches(part: str, value: int) -> bool:
    if part.startswith("*"):
        return value % int(part.removeprefix("*").removeprefix("/") or 1) == 0
    return value in map(int, part.split(","))


@pytest.mark.parametrize("second", [0, 1, 1_799, 1_801, 3_599])
def test_in_the_second_of_two_equal_hours_nothing_fires_in_the_past(second: int) -> None:
    after = datetime(2026, 10, 25, 1, tzinfo=UTC) + timedelta(seconds=second)
    local = after.astimezone(ZoneInfo("Europe/Berlin"))
    assert (local.hour, local.fold) == (2, 1)
    fire = next_after(Cron("30 2 * * *", "Europe/Berlin"), after)
    assert fire == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


CRONS = st.sampled_from(
    [
        "* * * * *",
        "*/7 * * * *",
        "30 2 * * *",
        "0 6 1 * *",
        "15 3 * * 1",
        "0 0 29 2 *",
        "0 12 * 1,7 *",
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    CRONS,
    st.sampled_from(ZONES),
    st.integers(0, 500_000),
    st.integers(0, 1_000_000_000),
)
def test_the_latest_fire_is_the_last_of_all(
    expression: str, zone: str, start: int, later: int
) -> None:
    timing = Cron(expression, zone)
    first = next_after(timing, datetime(2024, 1, 1, tzinfo=UTC) + start * MINUTE)
    now = first + timedelta(microseconds=later * (1_000 if "* *" in expression[:4] else 60_000))
    every = due_fires(timing, first, now, catch_up="all")
    if len(every) < MAX_CATCH_UP:
        assert due_fires(timing, first, now, catch_up="latest") == every[-1:]
    assert every == sorted(set(every))


def test_a_schedule_of_every_minute_that_slept_for_years_wakes_at_once() -> None:
    now = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
    for expression in ("* * * * *", "17 4 * * *", "0 0 1 * *", "0 0 29 2 *"):
        started = time.monotonic()
        [fire] = due_fires(
            Cron(expression, "Europe/Berlin"), now - 3_650 * DAY, now, catch_up="latest"
        )
        assert now - 1_461 * DAY < fire <= now
        assert time.monotonic() - started < 1


def test_what_is_missed_by_a_long_way_is_made_up_for_in_portions() -> None:
    timing = Cron("* * * * *")
    first = datetime(2026, 1, 1, tzinfo=UTC)
    fires = due_fires(timing, first, first + 3_000 * MINUTE, catch_up="all")
    assert fires == [first + n * MINUTE for n in range(MAX_CATCH_UP)]


def test_nothing_is_due_before_its_time_and_everything_at_it() -> None:
    fire = datetime(2026, 1, 1, 6, tzinfo=UTC)
    for catch_up in ("latest", "all"):
        early = fire - timedelta(microseconds=1)
        assert due_fires(Cron("0 6 1 * *"), fire, early, catch_up=catch_up) == []
        assert due_fires(Cron("0 6 1 * *"), fire, fire, catch_up=catch_up) == [fire]


@given(st.integers(1, 100_000), st.datetimes(datetime(1998, 1, 1), datetime(2050, 1, 1)))  # noqa: DTZ001
def test_an_interval_fires_at_the_multiples_of_its_seconds_since_the_epoch(
    seconds: int, naive: datetime
) -> None:
    after = naive.replace(tzinfo=UTC)
    fire = next_after(Every(seconds), after)
    assert fire > after
    assert fire - after <= timedelta(seconds=seconds)
    assert fire.timestamp() % seconds == 0
    assert due_fires(Every(seconds), fire, fire, catch_up="latest") == [fire]


@pytest.mark.parametrize(
    "expression", ["", "0 3 * *", "0 0 3 * * *", "@daily", "0 24 * * *", "0 0 30 2 *", "x * * * *"]
)
def test_a_cron_expression_has_five_fields_that_can_come_true(expression: str) -> None:
    with pytest.raises(Invalid) as refused:
        validate(Cron(expression))
    assert refused.value.field == "cron"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "CET ", "Europe"])
def test_a_zone_is_one_of_iana(zone: str) -> None:
    with pytest.raises(Invalid) as refused:
        validate(Cron("0 3 * * *", zone))
    assert refused.value.field == "zone"
