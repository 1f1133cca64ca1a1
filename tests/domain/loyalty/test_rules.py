"""The rules of loyalty, by examples and by what holds for all values."""

import doctest
import importlib
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.loyalty import rules
from domain.loyalty.rules import Card, Entry, Lot, Program, Refusal

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
AMOUNTS = st.integers(0, 2**53 - 1)
# Zones that change clocks at midnight, jump a whole day, or have odd offsets, beside plain ones.
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "America/Havana",
        "America/St_Johns",
        "Africa/Cairo",
        "Asia/Beirut",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "Australia/Lord_Howe",
    ]
).map(ZoneInfo)
TIMES = st.datetimes(datetime(1996, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def program(**terms: object) -> Program:
    base = {"id": 1, "merchant_id": 1, "key": "beans", "zone": "UTC", "currency": "eur"}
    return Program(**{**base, "earn_points": 1, "earn_per_amount": 100, **terms})  # type: ignore[arg-type]


def card(**state: object) -> Card:
    base = {"id": 1, "merchant_id": 1, "program": program(), "number": "C1", "customer_id": "ada"}
    return Card(**{"last_activity_at": NOON, "lots": [], **base, **state})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "module",
    [
        f"domain.loyalty.rules{part}"
        for part in (
            "",
            ".corrections",
            ".earning",
            ".expiring",
            ".holds",
            ".importing",
            ".merging",
            ".numbers",
            ".offers",
            ".policies",
            ".refunds",
            ".reporting",
            ".restoring",
            ".stamps",
            ".standing",
            ".terms",
            ".tiers",
            ".times",
        )
    ],
)
def test_the_examples_in_the_rules_hold(module: str) -> None:
    tried = doctest.testmod(importlib.import_module(module))
    assert (tried.failed, tried.attempted > 0) == (0, True)


@pytest.mark.parametrize(
    ("earn_points", "per", "amount", "points"),
    [
        (1, 100, 100, 1),
        (1, 100, 199, 1),
        (3, 200, 199, 2),  # 2.985: in proportion, then down
        (10, 1, 5, 50),
        (1, 100, 2**53 - 1, (2**53 - 1) // 100),
    ],
)
def test_a_purchase_earns_in_proportion_and_rounds_down(
    earn_points: int, per: int, amount: int, points: int
) -> None:
    terms = program(earn_points=earn_points, earn_per_amount=per)
    assert rules.points_for_purchase(terms, amount, "eur") == points


def test_a_row_is_shown_with_the_sign_of_what_it_moved() -> None:
    mine = card()
    earned = rules.credit(mine, "points_earned", 40, happened_at=NOON, at=NOON, explanation={})
    spent = rules.redeem(mine, 15, happened_at=NOON, at=NOON, explanation={})
    number = mine.number
    assert [repr(earned), repr(spent)] == [
        f"<points_earned 1 of card {number}: +40 points, 40 after>",
        f"<points_redeemed 2 of card {number}: -15 points, 25 after>",
    ]


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [
        (499, "eur", "below_minimum_purchase"),
        (-1, "eur", "negative_amount"),
        (5_000, "usd", "currency_mismatch"),
    ],
)
def test_a_purchase_that_does_not_count_says_why(amount: int, currency: str, reason: str) -> None:
    refused = rules.points_for_purchase(program(minimum_purchase=500), amount, currency)
    assert isinstance(refused, Refusal)
    assert refused.reason == reason


def test_a_purchase_of_less_than_a_point_is_refused() -> None:
    refused = rules.points_for_purchase(program(), 99, None)
    assert isinstance(refused, Refusal)
    assert refused.reason == "no_points"


@given(AMOUNTS, AMOUNTS, st.integers(1, 1000), st.integers(1, 10_000))
def test_splitting_a_purchase_never_earns_more(a: int, b: int, points: int, per: int) -> None:
    terms = program(earn_points=points, earn_per_amount=per)

    def earned(amount: int) -> int:
        value = rules.points_for_purchase(terms, amount, "eur")
        return 0 if isinstance(value, Refusal) else value

    assert earned(a) + earned(b) <= earned(a + b) <= earned(a) + earned(b) + 1


@pytest.mark.parametrize(
    ("zone", "last_activity", "days", "deadline"),
    [
        # Clocks go forward on 29 March 2026 and back on 25 October 2026 in Berlin.
        ("Europe/Berlin", "2026-03-28T12:00Z", 1, "2026-03-29T22:00Z"),
        ("Europe/Berlin", "2026-03-27T12:00Z", 1, "2026-03-28T23:00Z"),
        ("Europe/Berlin", "2026-10-24T12:00Z", 1, "2026-10-25T23:00Z"),
        # 23:30 UTC is the next day in Berlin.
        ("Europe/Berlin", "2026-01-01T23:30Z", 1, "2026-01-03T23:00Z"),
        # A leap day, from, over and to.
        ("UTC", "2024-02-29T00:00Z", 365, "2025-03-01T00:00Z"),
        ("UTC", "2023-02-28T00:00Z", 366, "2024-03-01T00:00Z"),
        ("UTC", "2024-02-28T00:00Z", 1, "2024-03-01T00:00Z"),
        # There was no midnight on 4 November 2018 in São Paulo: the day began at 01:00.
        ("America/Sao_Paulo", "2018-11-02T12:00Z", 1, "2018-11-04T03:00Z"),
        # Midnight came twice on 1 November 2026 in Havana: the first one counts.
        ("America/Havana", "2026-10-30T16:00Z", 1, "2026-11-01T04:00Z"),
        # There was no 30 December 2011 in Samoa.
        ("Pacific/Apia", "2011-12-28T20:00Z", 1, "2011-12-30T10:00Z"),
    ],
)
def test_the_deadline_is_the_start_of_the_day_after_the_last_valid_one(
    zone: str, last_activity: str, days: int, deadline: str
) -> None:
    at = datetime.fromisoformat(last_activity)
    assert rules.inactivity_deadline(at, days, ZoneInfo(zone)) == datetime.fromisoformat(deadline)


@given(TIMES, st.integers(1, 1_000), ZONES)
def test_the_deadline_is_the_first_instant_of_its_day(
    at: datetime, days: int, zone: ZoneInfo
) -> None:
    deadline = rules.inactivity_deadline(at, days, zone)
    first_invalid = at.astimezone(zone).date() + timedelta(days + 1)

    def day(instant: datetime) -> date:
        return instant.astimezone(zone).date()

    assert day(deadline - timedelta(microseconds=1)) < first_invalid <= day(deadline)
    assert at + timedelta(days=days - 2) < deadline <= at + timedelta(days=days + 3)


@given(TIMES, TIMES, st.integers(1, 400), ZONES)
def test_later_activity_never_brings_the_deadline_forward(
    a: datetime, b: datetime, days: int, zone: ZoneInfo
) -> None:
    first, second = sorted([a, b])
    assert rules.inactivity_deadline(first, days, zone) <= rules.inactivity_deadline(
        second, days, zone
    )


@pytest.mark.parametrize(
    ("happened", "expired_through", "counts_at"),
    [
        (NOON - DAY, None, NOON - DAY),
        (NOON - 30 * DAY, None, NOON - 30 * DAY),
        (NOON - 30 * DAY - timedelta(seconds=1), None, NOON),
        (NOON + timedelta(minutes=5), None, NOON),
        (NOON - 2 * DAY, NOON - DAY, NOON),
        (NOON - DAY, NOON - DAY, NOON - DAY),
        (NOON, NOON - DAY, NOON),
    ],
)
def test_an_event_counts_at_its_own_time_within_limits(
    happened: datetime, expired_through: datetime | None, counts_at: datetime
) -> None:
    assert (
        rules.effective_time(happened, NOON, backdating_days=30, expired_through=expired_through)
        == counts_at
    )


def lots_strategy() -> st.SearchStrategy[list[Lot]]:
    moment = st.integers(-5, 5).map(lambda d: NOON + d * DAY)
    return st.lists(
        st.builds(
            lambda points, occurred, pending, expires: Lot(
                points, points, occurred, occurred + pending * DAY, expires
            ),
            st.integers(1, 50),
            moment,
            st.integers(0, 3),
            st.none() | moment,
        ),
        max_size=8,
    )


@given(lots_strategy(), st.integers(1, 200))
def test_a_debit_takes_exactly_what_it_is_from_open_lots(lots: list[Lot], points: int) -> None:
    before = {id(lot): lot.remaining for lot in lots}
    assume(points <= rules.spendable(lots, NOON))
    taken = rules.consume(lots, points, NOON)
    assert sum(part for _, part in taken) == points
    assert all(lot.is_open(NOON) and part > 0 for lot, part in taken)
    for lot in lots:
        part = sum(p for taken_lot, p in taken if taken_lot is lot)
        assert lot.remaining == before[id(lot)] - part >= 0


@given(lots_strategy(), st.integers(1, 200))
def test_no_lot_is_touched_while_a_sooner_one_has_points(lots: list[Lot], points: int) -> None:
    assume(points <= rules.spendable(lots, NOON))
    taken = rules.consume(lots, points, NOON)
    far = datetime(9999, 1, 1, tzinfo=UTC)

    def order(lot: Lot) -> tuple[datetime, datetime, int]:
        return (lot.expires_at or far, lot.occurred_at, lots.index(lot))

    last = max(order(lot) for lot, _ in taken)
    assert all(lot.free == 0 for lot in lots if lot.is_open(NOON) and order(lot) < last)


def test_points_that_are_held_cannot_be_spent() -> None:
    lot = Lot(10, 10, NOON, NOON, held=4)
    assert rules.spendable([lot], NOON) == 6
    assert rules.consume([lot], 6, NOON) == [(lot, 6)]


def test_a_redemption_at_the_deadline_is_too_late_and_just_before_is_not() -> None:
    terms = program(inactivity_days=1)
    for moment, spent in [(timedelta(microseconds=-1), True), (timedelta(0), False)]:
        mine = card(program=terms)
        rules.credit(mine, "points_earned", 10, happened_at=NOON, at=NOON, explanation={})
        assert mine.deadline is not None
        at = mine.deadline + moment
        expired = rules.book_due_expiry(mine, at)
        outcome = rules.redeem(mine, 10, happened_at=at, at=at, explanation={})
        assert (not expired, isinstance(outcome, Entry)) == (spent, spent)


def test_only_qualifying_activity_moves_the_deadline() -> None:
    mine = card(program=program(inactivity_days=10, qualifying_types=frozenset({"points_earned"})))
    rules.credit(mine, "points_earned", 10, happened_at=NOON, at=NOON, explanation={})
    promised = mine.deadline
    rules.redeem(mine, 1, happened_at=NOON + DAY, at=NOON + DAY, explanation={})
    assert mine.deadline == promised
    rules.credit(mine, "points_earned", 1, happened_at=NOON, at=NOON + 2 * DAY, explanation={})
    assert promised is not None
    assert mine.deadline == promised + 2 * DAY


def test_a_shorter_policy_takes_effect_with_the_next_activity_only() -> None:
    mine = card(program=program(inactivity_days=100))
    rules.credit(mine, "points_earned", 10, happened_at=NOON, at=NOON, explanation={})
    promised, armed = mine.deadline, mine.check_on
    mine.program = program(inactivity_days=10, version=2)
    assert rules.book_due_expiry(mine, NOON + 50 * DAY) == []
    assert (mine.deadline, mine.check_on) == (promised, armed)
    rules.credit(mine, "points_earned", 1, happened_at=NOON, at=NOON, explanation={})
    assert mine.deadline == promised, "that was no later activity"
    at = NOON + 50 * DAY
    rules.credit(mine, "points_earned", 1, happened_at=at, at=at, explanation={})
    assert mine.deadline == rules.inactivity_deadline(at, 10, ZoneInfo("UTC"))
    assert mine.check_on == mine.deadline, "the sweep must not look later than that"


def test_late_news_of_older_activity_leaves_the_deadline() -> None:
    mine = card(program=program(inactivity_days=10))
    rules.credit(mine, "points_earned", 10, happened_at=NOON, at=NOON, explanation={})
    promised = mine.deadline
    rules.credit(mine, "points_earned", 5, happened_at=NOON, at=NOON - DAY, explanation={})
    assert (mine.deadline, mine.last_activity_at) == (promised, NOON)


def test_an_empty_card_starts_a_new_period_with_its_next_credit() -> None:
    mine = card(
        program=program(inactivity_days=10, qualifying_types=frozenset({"points_redeemed"}))
    )
    rules.credit(mine, "points_earned", 10, happened_at=NOON, at=NOON, explanation={})
    at = NOON + 20 * DAY
    (expired,) = rules.book_due_expiry(mine, at)
    assert (expired.points, mine.deadline, mine.expired_through) == (-10, None, expired.at)
    rules.credit(mine, "points_earned", 10, happened_at=at, at=at, explanation={})
    assert mine.deadline == rules.inactivity_deadline(at, 10, ZoneInfo("UTC"))


@pytest.mark.parametrize("number", ["1", "C-1/a.b", "é"[:0] + "~" * 50])
def test_visible_ascii_up_to_fifty_characters_is_a_card_number(number: str) -> None:
    assert rules.is_card_number(number)


@pytest.mark.parametrize("number", ["", " ", "a b", "a\n", "é", "1" * 51, "\x7f"])
def test_anything_else_is_not(number: str) -> None:
    assert not rules.is_card_number(number)


@given(st.integers(0, 10**15), st.integers(0, 15), st.integers(1, 9))
def test_a_generated_number_with_one_wrong_digit_is_noticed(
    serial: int, place: int, by: int
) -> None:
    number = rules.card_number(serial)
    at = place % (len(number) - 1)
    wrong = number[:at] + str((int(number[at]) + by) % 10) + number[at + 1 :]
    assert rules.luhn_digit(wrong[:-1]) != wrong[-1]


def test_the_only_active_program_is_chosen() -> None:
    first, second = program(id=1, key="beans"), program(id=2, key="tea")
    over = program(id=3, key="cake", status="ended")

    def reason(chosen: Program | Refusal) -> str:
        return chosen.reason if isinstance(chosen, Refusal) else chosen.key

    assert reason(rules.choose_program([first, over], None)) == "beans"
    assert reason(rules.choose_program([first, second], "tea")) == "tea"
    assert reason(rules.choose_program([first, second], None)) == "program_ambiguous"
    assert reason(rules.choose_program([over], None)) == "program_unknown"
    assert reason(rules.choose_program([first], "milk")) == "program_unknown"
    assert reason(rules.choose_program([over], "cake")) == "program_inactive"
