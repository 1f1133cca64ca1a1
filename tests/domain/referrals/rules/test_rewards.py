"""What a conversion earns, against exact fractions."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.money import MAX_AMOUNT
from domain.referrals.rules.rewards import (
    MAX_TIERS,
    History,
    OneTime,
    Percentage,
    Rate,
    Recurring,
    Tiered,
    needs_amount,
    parse_rate,
    parse_rule,
    reward_for,
)

AMOUNTS = st.integers(0, MAX_AMOUNT)
POINTS = st.integers(1, 10_000)


def half_even(exact: Fraction) -> int:
    """Python's own rounding of an exact fraction: to the nearest, from a tie to the even."""
    return round(exact)


def earns(rule: dict[str, Any], amount: int | None, **history: int) -> int:
    return reward_for(parse_rule(rule), amount=amount, history=History(**history)).amount


@pytest.mark.parametrize(
    ("points", "amount", "gives"),
    [
        (1_000, 0, 0),
        (1_000, 4, 0),
        (1_000, 5, 0),  # 0.5 goes to the even 0
        (1_000, 6, 1),
        (1_000, 15, 2),  # 1.5 goes to the even 2
        (1_000, 25, 2),  # 2.5 goes to the even 2
        (1_000, 35, 4),
        (250, 20, 0),  # 0.5
        (250, 60, 2),  # 1.5
        (1, 4_999, 0),
        (1, 5_000, 0),
        (1, 5_001, 1),
        (10_000, 12_345, 12_345),
        (3_333, 10_001, 3_333),
        (10_000, MAX_AMOUNT, MAX_AMOUNT),
    ],
)
def test_a_percentage_rounds_half_to_even(points: int, amount: int, gives: int) -> None:
    assert earns({"kind": "percentage", "basis_points": points}, amount) == gives


@given(AMOUNTS, POINTS, st.none() | st.integers(1, MAX_AMOUNT))
def test_a_percentage_is_the_exact_share_rounded_once_and_then_capped(
    amount: int, points: int, cap: int | None
) -> None:
    exact = half_even(Fraction(amount * points, 10_000))
    rule = {"kind": "percentage", "basis_points": points} | ({"cap": cap} if cap else {})
    assert earns(rule, amount) == (exact if cap is None else min(exact, cap))
    assert 0 <= earns(rule, amount) <= amount


@pytest.mark.parametrize("kind", ["one_time", "recurring"])
@given(AMOUNTS, POINTS, st.integers(1, MAX_AMOUNT))
def test_one_time_and_recurring_give_a_fixed_amount_or_a_share(
    kind: str, amount: int, points: int, fixed: int
) -> None:
    more = {"max_payments": 3} if kind == "recurring" else {}
    assert earns({"kind": kind, "amount": fixed} | more, None) == fixed
    assert earns({"kind": kind, "amount": fixed} | more, amount) == fixed
    share = earns({"kind": kind, "basis_points": points} | more, amount)
    assert share == half_even(Fraction(amount * points, 10_000))


TIERS = [
    {"from": 2, "basis_points": 100},
    {"from": 5, "amount": 777},
    {"from": 9, "basis_points": 500},
]


@pytest.mark.parametrize(
    ("before", "gives", "tier"),
    [(0, 0, None), (1, 10, 1), (3, 10, 1), (4, 777, 2), (7, 777, 2), (8, 50, 3), (1_000, 50, 3)],
)
def test_a_tier_by_count_begins_with_the_conversion_that_reaches_it(
    before: int, gives: int, tier: int | None
) -> None:
    rule = parse_rule({"kind": "tiered", "by": "count", "tiers": TIERS})
    reward = reward_for(rule, amount=1_000, history=History(conversions=before, volume=10**9))
    assert reward.amount == gives
    assert reward.explanation["tier"] == tier
    assert reward.explanation["reached"] == before + 1


@pytest.mark.parametrize(
    ("volume", "amount", "gives"),
    [
        (0, 99_999, 1_000),
        (0, 100_000, 5_000),  # the conversion itself counts, and the threshold is inside
        (99_999, 1, 0),
        (99_999, 100, 5),
        (500_000, 100_000, 5_000),
    ],
)
def test_a_tier_by_volume_gives_its_rate_to_the_whole_amount_that_reaches_it(
    volume: int, amount: int, gives: int
) -> None:
    tiers = [{"from": 0, "basis_points": 100}, {"from": 100_000, "basis_points": 500}]
    assert earns({"kind": "tiered", "by": "volume", "tiers": tiers}, amount, volume=volume) == gives


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=8, unique=True).map(sorted),
    st.integers(0, 70),
    st.integers(0, 100_000),
)
def test_the_tier_is_the_last_whose_threshold_is_not_above_what_is_reached(
    thresholds: list[int], before: int, amount: int
) -> None:
    tiers = [{"from": t, "amount": 100 + i} for i, t in enumerate(thresholds)]
    gives = earns({"kind": "tiered", "by": "count", "tiers": tiers}, amount, conversions=before)
    met = [i for i, t in enumerate(thresholds) if t <= before + 1]
    assert gives == (100 + met[-1] if met else 0)


def test_a_reward_says_why_it_is_what_it_is() -> None:
    rule = parse_rule({"kind": "percentage", "basis_points": 1_000, "cap": 600})
    assert reward_for(rule, amount=12_900, history=History()).explanation == {
        "rule": "percentage",
        "of": 12_900,
        "basis_points": 1_000,
        "cap": 600,
    }


@pytest.mark.parametrize(
    ("rule", "needs"),
    [
        ({"kind": "one_time", "amount": 5}, False),
        ({"kind": "one_time", "basis_points": 5}, True),
        ({"kind": "percentage", "basis_points": 5}, True),
        ({"kind": "recurring", "amount": 5, "max_payments": 1}, False),
        ({"kind": "tiered", "by": "count", "tiers": [{"from": 1, "amount": 5}]}, False),
        ({"kind": "tiered", "by": "count", "tiers": [{"from": 1, "basis_points": 5}]}, True),
        ({"kind": "tiered", "by": "volume", "tiers": [{"from": 1, "amount": 5}]}, True),
    ],
)
def test_whether_the_amount_must_be_known(rule: dict[str, Any], needs: bool) -> None:
    assert needs_amount(parse_rule(rule)) is needs


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        ({"kind": "one_time", "amount": 500}, OneTime(Rate(500))),
        (
            {"kind": "percentage", "basis_points": 10_000, "cap": 1},
            Percentage(Rate(None, 10_000, 1)),
        ),
        (
            {"kind": "recurring", "amount": 1, "max_payments": None, "duration_days": 3_650},
            Recurring(Rate(1), None, 3_650),
        ),
        (
            {"kind": "tiered", "by": "count", "tiers": [{"from": 0, "amount": 1}]},
            Tiered("count", ((0, Rate(1)),)),
        ),
    ],
)
def test_a_rule_is_read_as_it_is_written(raw: dict[str, Any], parsed: object) -> None:
    assert parse_rule(raw) == parsed


COUNTED = {"kind": "tiered", "by": "count"}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({}, "rule.kind"),
        ({"kind": None}, "rule.kind"),
        ({"kind": ["one_time"]}, "rule.kind"),
        ({"kind": {}}, "rule.kind"),
        ({"kind": "gift", "amount": 1}, "rule.kind"),
        ({"kind": "one_time"}, "rule"),
        ({"kind": "one_time", "amount": 1, "basis_points": 1}, "rule"),
        ({"kind": "one_time", "amount": 0}, "rule.amount"),
        ({"kind": "one_time", "amount": -5}, "rule.amount"),
        ({"kind": "one_time", "amount": 5.0}, "rule.amount"),
        ({"kind": "one_time", "amount": "5"}, "rule.amount"),
        ({"kind": "one_time", "amount": True}, "rule.amount"),
        ({"kind": "one_time", "amount": MAX_AMOUNT + 1}, "rule.amount"),
        ({"kind": "one_time", "amount": 5, "cap": 3}, "rule.cap"),
        ({"kind": "one_time", "amount": 5, "max_payments": 3}, "rule.max_payments"),
        ({"kind": "percentage", "amount": 5}, "rule.amount"),
        ({"kind": "percentage", "basis_points": 0}, "rule.basis_points"),
        ({"kind": "percentage", "basis_points": 10_001}, "rule.basis_points"),
        ({"kind": "percentage", "basis_points": 5, "cap": 0}, "rule.cap"),
        ({"kind": "recurring", "amount": 5}, "rule"),
        ({"kind": "recurring", "amount": 5, "max_payments": 0}, "rule.max_payments"),
        ({"kind": "recurring", "amount": 5, "max_payments": 1_001}, "rule.max_payments"),
        ({"kind": "recurring", "amount": 5, "duration_days": 3_651}, "rule.duration_days"),
        (COUNTED | {"tiers": []}, "rule.tiers"),
        (COUNTED | {"tiers": {}}, "rule.tiers"),
        (COUNTED, "rule.tiers"),
        (COUNTED | {"tiers": [5]}, "rule.tiers[0]"),
        (COUNTED | {"tiers": [{"amount": 5}]}, "rule.tiers[0].from"),
        (COUNTED | {"tiers": [{"from": -1, "amount": 5}]}, "rule.tiers[0].from"),
        (COUNTED | {"tiers": [{"from": 1}]}, "rule.tiers[0]"),
        (COUNTED | {"tiers": [{"from": 1, "amount": 5, "to": 3}]}, "rule.tiers[0].to"),
        (
            COUNTED | {"tiers": [{"from": 2, "amount": 5}, {"from": 2, "amount": 6}]},
            "rule.tiers[1].from",
        ),
        (
            COUNTED | {"tiers": [{"from": i, "amount": 5} for i in range(MAX_TIERS + 1)]},
            "rule.tiers",
        ),
        ({"kind": "tiered", "by": "mood", "tiers": [{"from": 1, "amount": 5}]}, "rule.by"),
        ({"kind": "tiered", "by": ["count"], "tiers": [{"from": 1, "amount": 5}]}, "rule.by"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_by_its_field(
    raw: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        parse_rule(raw)
    assert refused.value.field == field


def test_a_rate_takes_no_other_fields() -> None:
    with pytest.raises(Invalid) as refused:
        parse_rate({"amount": 5, "bonus": 1}, "referee_rule")
    assert refused.value.field == "referee_rule.bonus"
