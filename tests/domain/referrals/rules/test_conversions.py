"""Whether a conversion counts: every refusal with the last case that passes and the first that does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.referrals.rules.conversions import (
    REASONS,
    Code,
    Conversion,
    Program,
    Standing,
    available_at,
    refusal_of,
)
from domain.referrals.rules.rewards import parse_rate, parse_rule

JUNE = datetime(2026, 6, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)

PERCENTAGE = {"kind": "percentage", "basis_points": 1000}
ONE_TIME = {"kind": "one_time", "amount": 500}


def program(rule: dict[str, Any] = PERCENTAGE, **terms: Any) -> Program:
    defaults: dict[str, Any] = {
        "status": "active",
        "referee_rate": None,
        "currency": "usd",
        "hold_days": 0,
        "window_days": None,
        "max_rewards_per_referrer": None,
        "min_amount": 0,
        "payout_method": None,
    }
    return Program(id=1, version=1, rule=parse_rule(rule), **(defaults | terms))


CODE = Code(1, "ADA-01", 1, "ada", "active", None, 0, None)
SALE = Conversion("ben", 10_000, "usd", JUNE)
FRESH = Standing(attributed_at=JUNE)


def reason(
    program_: Program | None = None,
    code: Code = CODE,
    sale: Conversion = SALE,
    standing: Standing = FRESH,
) -> str | None:
    refusal = refusal_of(program_ or program(), code, sale, standing)
    if refusal is None:
        return None
    assert refusal.reason in REASONS
    assert refusal.detail, "a sentence says what is the matter"
    return refusal.reason


def test_an_ordinary_conversion_counts() -> None:
    assert reason() is None


@pytest.mark.parametrize(
    ("status", "refused"),
    [
        ("active", None),
        ("inactive", "code_inactive"),
        ("suspended", "code_inactive"),
        ("expired", "code_expired"),
    ],
)
def test_a_code_counts_while_it_is_active(status: str, refused: str | None) -> None:
    assert reason(code=replace(CODE, status=status)) == refused


@pytest.mark.parametrize(("at", "refused"), [(JUNE - TICK, None), (JUNE, "code_expired")])
def test_a_code_expires_at_its_moment_by_the_time_of_the_event(
    at: datetime, refused: str | None
) -> None:
    assert (
        reason(code=replace(CODE, expires_at=JUNE), sale=replace(SALE, converted_at=at)) == refused
    )


@pytest.mark.parametrize(("uses", "refused"), [(0, None), (2, None), (3, "code_exhausted")])
def test_a_code_counts_as_often_as_it_may(uses: int, refused: str | None) -> None:
    assert reason(code=replace(CODE, max_uses=3, uses=uses)) == refused


@pytest.mark.parametrize("status", ["paused", "ended"])
def test_a_program_counts_while_it_is_active(status: str) -> None:
    assert reason(program(status=status)) == "program_inactive"


def test_nobody_refers_themselves() -> None:
    assert reason(sale=replace(SALE, referred_user_id="ada")) == "self_referral"


def test_a_transaction_counts_once() -> None:
    assert reason(standing=replace(FRESH, known_transaction=True)) == "duplicate_transaction"


@pytest.mark.parametrize(
    ("currency", "refused"), [(None, None), ("usd", None), ("eur", "currency_mismatch")]
)
def test_an_absent_currency_is_the_programs(currency: str | None, refused: str | None) -> None:
    assert reason(sale=replace(SALE, currency=currency)) == refused


@pytest.mark.parametrize(
    ("amount", "refused"), [(None, "missing_amount"), (999, "below_minimum"), (1_000, None)]
)
def test_the_minimum_itself_counts(amount: int | None, refused: str | None) -> None:
    assert reason(program(min_amount=1_000), sale=replace(SALE, amount=amount)) == refused


@pytest.mark.parametrize(
    ("terms", "refused"),
    [
        (program(ONE_TIME), None),
        (program(ONE_TIME, min_amount=1), "missing_amount"),
        (program(PERCENTAGE), "missing_amount"),
        (program(ONE_TIME, referee_rate=parse_rate({"basis_points": 5})), None),
    ],
)
def test_an_amount_is_needed_where_something_is_computed_from_it(
    terms: Program, refused: str | None
) -> None:
    assert reason(terms, sale=replace(SALE, amount=None)) == refused


@pytest.mark.parametrize(
    ("after", "refused"),
    [(-DAY, None), (timedelta(0), None), (30 * DAY - TICK, None), (30 * DAY, "outside_window")],
)
def test_the_window_begins_with_the_attribution_and_ends_before_its_last_moment(
    after: timedelta, refused: str | None
) -> None:
    for rule in (PERCENTAGE, ONE_TIME):
        terms = program(rule, window_days=30)
        assert reason(terms, sale=replace(SALE, converted_at=JUNE + after)) == refused


@pytest.mark.parametrize(("rewarded", "refused"), [(0, None), (1, "already_rewarded")])
def test_one_time_rewards_a_referred_user_once(rewarded: int, refused: str | None) -> None:
    standing = replace(FRESH, rewarded=rewarded, first_rewarded_at=JUNE if rewarded else None)
    assert reason(program(ONE_TIME), standing=standing) == refused


@pytest.mark.parametrize(
    ("rewarded", "after", "refused"),
    [
        (0, 999 * DAY, "outside_window"),
        (1, 29 * DAY, None),
        (1, 31 * DAY, None),  # the window is for the first conversion only
        (2, 60 * DAY - TICK, None),
        (2, 60 * DAY, "outside_window"),
        (3, DAY, "already_rewarded"),
        (3, 60 * DAY, "already_rewarded"),
    ],
)
def test_recurring_rewards_for_so_many_payments_and_days_from_the_first(
    rewarded: int, after: timedelta, refused: str | None
) -> None:
    rule = {"kind": "recurring", "amount": 5, "max_payments": 3, "duration_days": 60}
    standing = replace(FRESH, rewarded=rewarded, first_rewarded_at=JUNE if rewarded else None)
    sale = replace(SALE, converted_at=JUNE + after)
    assert reason(program(rule, window_days=30), sale=sale, standing=standing) == refused


@pytest.mark.parametrize(("rewards", "refused"), [(4, None), (5, "reward_cap_reached")])
def test_a_referrer_is_rewarded_up_to_the_cap(rewards: int, refused: str | None) -> None:
    terms = program(max_rewards_per_referrer=5)
    assert reason(terms, standing=replace(FRESH, referrer_rewards=rewards)) == refused


def test_checks_run_from_the_code_to_the_caps() -> None:
    """Everything is wrong at once; each reason gives way to the next once its cause is gone."""
    terms = program(
        ONE_TIME, status="paused", window_days=1, min_amount=1_000, max_rewards_per_referrer=1
    )
    code = replace(CODE, status="suspended", expires_at=JUNE, max_uses=1, uses=1)
    sale = Conversion("ada", None, "eur", JUNE + 2 * DAY)
    standing = Standing(JUNE, 1, JUNE, 1, True)
    seen = [reason(terms, code, sale, standing)]
    for cured in (
        {"code": {"status": "active"}},
        {"terms": {"status": "active"}},
        {"code": {"expires_at": None}},
        {"sale": {"referred_user_id": "ben"}},
        {"standing": {"known_transaction": False}},
        {"sale": {"currency": "usd"}},
        {"sale": {"amount": 999}},
        {"sale": {"amount": 1_000}},
        {"standing": {"rewarded": 0}},
        {"sale": {"converted_at": JUNE}},
        {"code": {"uses": 0}},
        {"standing": {"referrer_rewards": 0}},
    ):
        terms = replace(terms, **cured.get("terms", {}))
        code = replace(code, **cured.get("code", {}))
        sale = replace(sale, **cured.get("sale", {}))
        standing = replace(standing, **cured.get("standing", {}))
        seen.append(reason(terms, code, sale, standing))
    assert seen == [
        "code_inactive",
        "program_inactive",
        "code_expired",
        "self_referral",
        "duplicate_transaction",
        "currency_mismatch",
        "missing_amount",
        "below_minimum",
        "already_rewarded",
        "outside_window",
        "code_exhausted",
        "reward_cap_reached",
        None,
    ]
    assert set(filter(None, seen)) | {"code_not_found"} == set(REASONS)


@given(st.integers(0, 90), st.integers(-(10**15), 10**15))
def test_a_reward_may_be_paid_once_its_hold_is_over(days: int, microseconds: int) -> None:
    at = JUNE + timedelta(microseconds=microseconds)
    assert available_at(program(hold_days=days), at) - at == timedelta(days=days)
