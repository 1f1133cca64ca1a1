"""Deadlines, and a year of a card, against a calculation that walks the calendar."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from domain.db import Tx
from domain.loyalty import service
from domain.loyalty.rules.policies import deadline_of, parse_policies
from domain.loyalty.rules.times import inactivity_deadline
from tests.domain.loyalty.conftest import open_shop
from tests.oracles.expiry import Account, Program, first_instant_after, last_valid_day

__all__ = ["open_shop"]

# With clocks that change at midnight (Havana, Cairo, São Paulo until 2019), by half an hour (Lord Howe),
# never (Kathmandu), and a whole day that is missing (Apia, 30 December 2011).
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Africa/Cairo", "America/Sao_Paulo",
    "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Pacific/Kiritimati",
]  # fmt: skip
TIMES = st.datetimes(
    datetime(2008, 1, 1),  # noqa: DTZ001
    datetime(2032, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
PERIODS = st.sampled_from(["month", "quarter", "half_year", "year"])
ROLLING = st.fixed_dictionaries(
    {"kind": st.just("rolling"), "days": st.integers(0, 70), "months": st.integers(0, 14)},
    optional={"round_up": PERIODS},
).filter(lambda p: p["days"] + p["months"] > 0)
CALENDAR = st.dates(date(2024, 1, 1), date(2024, 12, 31)).flatmap(
    lambda d: st.fixed_dictionaries(
        {"kind": st.just("calendar"), "month": st.just(d.month), "day": st.just(d.day)},
        optional={"grace_days": st.integers(0, 90)},
    )
)
POLICIES = st.lists(ROLLING | CALENDAR, max_size=3)


@given(policy=ROLLING | CALENDAR, at=TIMES, zone=st.sampled_from(ZONES))
@example({"kind": "rolling", "months": 1}, datetime(2026, 1, 31, 12, tzinfo=UTC), "UTC")
@example({"kind": "rolling", "months": 12}, datetime(2024, 2, 29, 12, tzinfo=UTC), "Asia/Kathmandu")
@example({"kind": "calendar", "month": 2, "day": 29}, datetime(2026, 2, 28, 12, tzinfo=UTC), "UTC")
@example({"kind": "rolling", "days": 1}, datetime(2011, 12, 28, 22, tzinfo=UTC), "Pacific/Apia")
@settings(max_examples=300, deadline=None)
def test_a_lot_expires_when_the_walked_calendar_says(
    policy: dict[str, Any], at: datetime, zone: str
) -> None:
    place = ZoneInfo(zone)
    walked = first_instant_after(last_valid_day(policy, at.astimezone(place).date()), zone)
    assert deadline_of(parse_policies([policy]), at, place) == walked


@given(days=st.integers(1, 400), at=TIMES, zone=st.sampled_from(ZONES))
@settings(max_examples=200, deadline=None)
def test_inactivity_ends_when_the_walked_calendar_says(days: int, at: datetime, zone: str) -> None:
    last = at.astimezone(ZoneInfo(zone)).date() + timedelta(days)
    assert inactivity_deadline(at, days, ZoneInfo(zone)) == first_instant_after(last, zone)


START = datetime(2027, 1, 1, 12, tzinfo=UTC)
# Days until the next thing, and what it is: an earn of so many points, a sweep, or a look (a refused earn).
STEPS = st.lists(
    st.tuples(st.integers(0, 130), st.sampled_from(["sweep", "look", 5, 7, 11])), max_size=12
)


@given(
    policies=POLICIES,
    inactivity=st.none() | st.integers(10, 200),
    zone=st.sampled_from(ZONES),
    steps=STEPS,
)
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_years_of_a_card_expire_as_walked_whoever_books_it(
    tx: Tx, open_shop: Any, policies: Any, inactivity: int | None, zone: str, steps: Any
) -> None:
    attempt = tx.begin_nested()
    try:
        shop = open_shop(
            tx, zone=zone, expiration=policies, inactivity_days=inactivity, minimum_purchase=100
        )
        shop.apply(tx, [shop.enrol("C1", time=START)], START)
        account, now, expected = Account(Program(zone, policies, inactivity)), START, []
        for days, what in [*steps, (2_000, "sweep")]:
            now += timedelta(days, hours=7)
            if what == "sweep":
                for part in service.plan_expiry(tx, shop.merchant_id, now, 10):
                    service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, now)
                expected += account.pass_to(now)
            elif what == "look":
                shop.apply(tx, [shop.earn("C1", purchase_amount=1, time=now)], now)
                expected += account.pass_to(now)
            else:
                shop.apply(tx, [shop.earn("C1", what, now)], now)
                expected += account.earn(what, now)
            balance = tx.execute(
                text("SELECT points_balance FROM cards WHERE merchant_id = :m"),
                {"m": shop.merchant_id},
            ).scalar_one()
            assert balance == account.balance()
            assert service.check_invariants(tx) == []
        booked = tx.execute(
            text(
                "SELECT transaction_at, -points_delta FROM loyalty_transactions"
                " WHERE merchant_id = :m AND type = 'points_expired' ORDER BY seq"
            ),
            {"m": shop.merchant_id},
        )
        assert [tuple(row) for row in booked] == expected
    finally:
        attempt.rollback()


@pytest.mark.parametrize("policies", [[], [{"kind": "rolling", "days": 3}]])
def test_the_sweep_and_the_next_event_book_the_same_rows(
    tx: Tx, open_shop: Any, policies: Any
) -> None:
    found = []
    for swept in (True, False):
        shop = open_shop(tx, zone="Europe/Berlin", expiration=policies, inactivity_days=5)
        earns = [shop.earn("C1", n, START + n * timedelta(1)) for n in (1, 2, 3)]
        later = START + timedelta(30)
        shop.apply(tx, [shop.enrol("C1", time=START), *earns], START + timedelta(3))
        if swept:
            (part,) = service.plan_expiry(tx, shop.merchant_id, later, 10)
            service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, later)
        else:
            shop.apply(tx, [shop.earn("C1", purchase_amount=1, time=later)], later)
        rows = tx.execute(
            text(
                "SELECT seq, type, points_delta, points_balance_after, explanation - 'counted_at',"
                " transaction_at, program_version, inbox_id IS NULL FROM loyalty_transactions"
                " WHERE merchant_id = :m ORDER BY seq"
            ),
            {"m": shop.merchant_id},
        )
        found.append([tuple(row) for row in rows])
    assert found[0] == found[1]
