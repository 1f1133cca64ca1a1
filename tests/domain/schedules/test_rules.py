"""When a schedule fires: cron in a zone, intervals on the epoch, and what was missed."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.schedules.rules import Cron, Every, due_fires, next_after, validate


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc]


def test_a_nightly_cron_keeps_its_local_hour_over_both_clock_changes() -> None:
    night = Cron("30 3 * * *", "Europe/Berlin")
    winter_to_summer = next_after(night, utc(2026, 3, 28, 12))
    summer_to_winter = next_after(night, utc(2026, 10, 24, 12))
    assert winter_to_summer == utc(2026, 3, 29, 1, 30)
    assert summer_to_winter == utc(2026, 10, 25, 2, 30)


def test_an_hour_that_is_skipped_by_the_clock_fires_once_that_day() -> None:
    skipped = Cron("30 2 * * *", "Europe/Berlin")
    fires = due_fires(skipped, utc(2026, 3, 28, 1, 30), utc(2026, 3, 30, 12), catch_up="all")
    assert len({fire.date() for fire in fires}) == len(fires) == 3


def test_latest_catches_up_once_and_all_makes_every_fire() -> None:
    monthly = Cron("0 6 1 * *")
    first, now = utc(2026, 1, 1, 6), utc(2026, 4, 15)
    assert due_fires(monthly, first, now, catch_up="latest") == [utc(2026, 4, 1, 6)]
    assert due_fires(monthly, first, now, catch_up="all") == [
        utc(2026, month, 1, 6) for month in (1, 2, 3, 4)
    ]
    assert due_fires(monthly, utc(2026, 5, 1, 6), now, catch_up="all") == []


def test_intervals_are_aligned_so_that_schedulers_agree_without_talking() -> None:
    every = Every(30)
    assert next_after(every, utc(2026, 1, 1, 0, 0, 7)) == utc(2026, 1, 1, 0, 0, 30)
    assert next_after(every, utc(2026, 1, 1, 0, 0, 30)) == utc(2026, 1, 1, 0, 1)
    late = due_fires(every, utc(2026, 1, 1), utc(2026, 1, 1, 2, 0, 10), catch_up="latest")
    assert late == [utc(2026, 1, 1, 2)]


@pytest.mark.parametrize(
    ("timing", "field"),
    [
        (Cron("61 * * * *"), "cron"),
        (Cron("* * * *"), "cron"),
        (Cron("0 3 * * *", "Europe/Atlantis"), "zone"),
        (Every(0), "every_seconds"),
    ],
)
def test_a_timing_that_cannot_be_used_is_refused_by_its_field(
    timing: Cron | Every, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        validate(timing)
    assert refused.value.field == field


def test_the_next_fire_is_always_later() -> None:
    at = utc(2026, 1, 31, 23, 59, 59)
    for timing in (Cron("59 23 31 * *"), Cron("* * * * *", "Asia/Kolkata"), Every(7)):
        assert at < next_after(timing, at) <= at + timedelta(days=62)


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "30", "*/15", "59"]),
    st.sampled_from(["*", "0", "2", "3", "*/6", "1-3"]),
    st.sampled_from(["*", "1", "29", "31", "L", "13"]),
    st.sampled_from(["*", "2", "3", "10", "*/3"]),
    st.sampled_from(["*", "1", "5", "7", "1-5"]),
).filter(lambda parts: not (parts[2] in ("29", "31") and parts[3] == "2"))
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
SPRING, AUTUMN = utc(2026, 3, 29), utc(2026, 10, 25)


def naive_latest(timing: Cron, first: datetime, now: datetime) -> datetime:
    while (following := next_after(timing, first)) <= now:
        first = following
    return first


@settings(max_examples=150, deadline=None)
@given(
    FIELDS,
    st.sampled_from(ZONES),
    st.sampled_from([SPRING, AUTUMN, utc(2026, 3, 8), utc(2026, 11, 1), utc(2027, 12, 31)]),
    st.integers(-3 * 86_400, 3 * 86_400),
    st.integers(1, 6 * 86_400) | st.integers(1, 14_400),
)
@example(("30", "2", "*", "*", "*"), "Europe/Berlin", SPRING, 0, 86_400)
@example(("30", "2", "*", "*", "*"), "Europe/Berlin", AUTUMN, 0, 86_400)
@example(("*", "2", "*", "*", "*"), "Australia/Lord_Howe", utc(2026, 4, 5), -86_400, 2 * 86_400)
def test_the_latest_fire_is_the_one_that_a_walk_through_all_of_them_ends_at(
    fields: tuple[str, ...], zone: str, around: datetime, shift: int, sleep: int
) -> None:
    timing = Cron(" ".join(fields), zone)
    slept = around + timedelta(seconds=shift)
    first = next_after(timing, slept)
    now = slept + timedelta(seconds=sleep, microseconds=sleep)
    fires = due_fires(timing, first, now, catch_up="latest")
    assert fires == ([naive_latest(timing, first, now)] if first <= now else [])


@pytest.mark.parametrize(
    "expression", ["* * * * *", "* * * 1 *", "* * 1 1 *", "0 0 29 2 *", "*/7 3 * * 1"]
)
def test_a_sleep_of_forty_years_is_caught_up_at_once(expression: str) -> None:
    timing = Cron(expression, "Europe/Berlin")
    first = next_after(timing, utc(1987, 6, 1))
    began = time.monotonic()
    [fire] = due_fires(timing, first, utc(2026, 12, 31, 12), catch_up="latest")
    assert time.monotonic() - began < 1.0
    assert fire <= utc(2026, 12, 31, 12) < next_after(timing, fire)
