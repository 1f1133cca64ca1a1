"""Who is paid, and what freezes it."""

import doctest
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import domain.payouts.rules
import sandbox.currencies
from domain.payouts.rules import (
    EMPTY_RUN_HASH,
    Group,
    Pay,
    PayeeView,
    Skip,
    attempts,
    carrying,
    decide,
    extend_run_hash,
    members_digest,
    members_hash,
    states,
)

READY = PayeeView(1, "stripe", "acct_ada", None)


def group(amount: int, members: int = 1, held: int = 0, other_method: int = 0) -> Group:
    return Group(9, "ada", "usd", amount, members, held, other_method)


@pytest.mark.parametrize(
    ("due", "payee", "minimum", "reason"),
    [
        (group(500), READY, 500, None),
        (group(1), READY, 0, None),
        (group(1), READY, -5, None),
        (group(499), READY, 500, "below_minimum"),
        (group(0, members=2), READY, 0, "below_minimum"),
        (group(-1), READY, 0, "negative_balance"),
        (group(0, members=0, held=1), READY, 0, "on_hold"),
        (group(0, members=0, other_method=1), READY, 0, "other_method"),
        (group(500), None, 500, "payee_not_ready"),
        (group(500), PayeeView(1, "stripe", None, None), 500, "payee_not_ready"),
        (group(500), PayeeView(1, "stripe", "", None), 500, "payee_not_ready"),
        (group(500), PayeeView(1, "stripe", "acct_ada", "restricted"), 500, "blocked"),
        (group(500), PayeeView(1, "manual", "iban", None), 500, "method_not_in_run"),
        # Money comes first: an amount that is too small is not hidden by missing papers.
        (group(499), None, 500, "below_minimum"),
        (group(-1), PayeeView(1, "manual", None, "restricted"), 0, "negative_balance"),
    ],
)
def test_each_reason(due: Group, payee: PayeeView | None, minimum: int, reason: str | None) -> None:
    decision = decide(due, payee, minimum=minimum, methods=("stripe",))
    assert (decision.reason if isinstance(decision, Skip) else None) == reason


@given(
    st.integers(-(10**6), 10**6),
    st.integers(0, 5),
    st.integers(-10, 10**4),
    st.none()
    | st.builds(
        PayeeView,
        st.just(1),
        st.sampled_from(["stripe", "manual"]),
        st.none() | st.just("a"),
        st.none() | st.just("b"),
    ),
)
def test_what_is_paid_is_exactly_what_is_due_and_at_least_the_minimum(
    amount: int, members: int, minimum: int, payee: PayeeView | None
) -> None:
    decision = decide(group(amount, members), payee, minimum=minimum, methods=("stripe",))
    if isinstance(decision, Pay):
        assert decision.amount == amount > 0
        assert decision.carried == 0
        assert amount >= minimum
        assert members > 0


CODES = sorted(carrying.STRIPE_CURRENCIES)


@given(
    st.sampled_from(["usd", "kwd", "huf", "isk", "idr"]) | st.sampled_from(CODES),
    st.sampled_from(["stripe", "manual"]),
    st.integers(0, 2_000) | st.integers(99_999_000, 100_001_000),
    st.integers(0, 200),
)
def test_who_is_due_exactly_what_was_decided_is_paid_it(
    currency: str, method: str, minimum: int, above: int
) -> None:
    ready = PayeeView(1, method, "a", None)
    due = Group(9, "ada", currency, minimum + above, 1)  # near the minimum, and near the largest
    first = decide(due, ready, minimum=minimum, methods=(method,))
    if isinstance(first, Pay):
        assert first.amount >= min(minimum, carrying.most(method, currency))
        rest_taken = replace(due, amount=first.amount)
        assert decide(rest_taken, ready, minimum=minimum, methods=(method,)) == replace(
            first, carried=0
        )


@pytest.mark.parametrize(
    ("currency", "amount", "minimum", "paid"),
    [
        ("kwd", 5_124, 5_120, 5_120),
        ("kwd", 5_124, 5_121, None),
        ("huf", 1_050, 1_000, 1_000),
        ("huf", 1_050, 1_001, None),
        # A minimum that no payout can reach is not asked for.
        ("usd", 250_000_000, 200_000_000, 99_999_999),
        ("usd", 99_999_999, 200_000_000, 99_999_999),
        ("usd", 99_999_998, 200_000_000, None),
        ("kwd", 99_999_990, 200_000_000, 99_999_990),
    ],
)
def test_the_minimum_is_of_what_is_paid_and_within_what_one_payout_can_be(
    currency: str, amount: int, minimum: int, paid: int | None
) -> None:
    due = Group(9, "ada", currency, amount, 1)
    decision = decide(due, READY, minimum=minimum, methods=("stripe",))
    assert (decision.amount if isinstance(decision, Pay) else None) == paid
    assert not isinstance(decision, Skip) or decision.reason == "below_minimum"


@given(st.integers(1, 10**20), st.sampled_from(CODES), st.integers(0, 10**9))
def test_stripe_can_carry_what_is_paid_and_the_rest_stays_owed(
    amount: int, currency: str, minimum: int
) -> None:
    due = Group(9, "ada", currency, amount, 1)
    decision = decide(due, READY, minimum=minimum, methods=("stripe",))
    if isinstance(decision, Skip):
        assert decision.reason == ("over_limit" if amount >= 2**63 else "below_minimum")
        return
    assert decision.amount + decision.carried == amount
    assert 0 < decision.amount <= sandbox.currencies.MAXIMUM_TRANSFER
    assert decision.amount % sandbox.currencies.DIVISIBLE_BY.get(currency, 1) == 0
    # As much as can be carried: another step would be too much.
    step, limit = carrying.step("stripe", currency), carrying.limit("stripe", currency)
    assert decision.carried < step or decision.amount + step > limit


@pytest.mark.parametrize(
    ("currency", "amount", "paid"),
    [
        ("kwd", 5_124, 5_120),
        ("tnd", 10, 10),
        ("bhd", 9, None),
        ("isk", 599, 500),
        ("huf", 1_045, 1_000),
        ("twd", 99, None),
        ("jpy", 501, 501),
        ("usd", 100_000_000, 99_999_999),
        ("kwd", 100_000_000, 99_999_990),
        ("idr", 100_000_000, 100_000_000),
    ],
)
def test_the_part_that_stripe_carries(currency: str, amount: int, paid: int | None) -> None:
    decision = decide(Group(9, "ada", currency, amount, 1), READY, minimum=0, methods=("stripe",))
    assert (decision.amount if isinstance(decision, Pay) else None) == paid


@pytest.mark.parametrize("currency", ["ugx", "zzz", "btc"])
def test_what_stripe_does_not_pay_in_is_said_before_anything_is_sent(currency: str) -> None:
    decision = decide(Group(9, "ada", currency, 500, 1), READY, minimum=0, methods=("stripe",))
    assert isinstance(decision, Skip)
    assert (decision.reason, currency.upper() in decision.detail) == ("currency_not_carried", True)
    by_hand = PayeeView(1, "manual", "iban", None)
    paid = decide(Group(9, "ada", currency, 500, 1), by_hand, minimum=0, methods=("manual",))
    assert isinstance(paid, Pay)


def test_every_currency_that_is_paid_is_one_that_stripe_knows() -> None:
    assert carrying.STRIPE_CURRENCIES | {"ugx"} == sandbox.currencies.SUPPORTED


MEMBERS = st.dictionaries(
    st.integers(1, 10**9), st.integers(-(10**6), 10**6), min_size=1, max_size=8
)


@given(MEMBERS, MEMBERS)
def test_other_members_or_terms_give_another_hash(one: dict[int, int], two: dict[int, int]) -> None:
    first, second = members_digest(one.items()), members_digest(two.items())
    assert (first == second) == (one == two)
    terms = {"amount": 5, "currency": "usd", "destination": "a"}
    hashed = members_hash(first, **terms)  # type: ignore[arg-type]
    for changed in ({"amount": 6}, {"currency": "eur"}, {"destination": "b"}):
        assert members_hash(first, **(terms | changed)) != hashed  # type: ignore[arg-type]


def test_the_hash_of_a_run_tells_which_payouts_and_in_which_order() -> None:
    one, two = (1, b"a" * 32), (2, b"b" * 32)
    both = extend_run_hash(EMPTY_RUN_HASH, [one, two])
    assert both == extend_run_hash(extend_run_hash(EMPTY_RUN_HASH, [one]), [two])
    assert both != extend_run_hash(EMPTY_RUN_HASH, [two, one])
    assert both != extend_run_hash(EMPTY_RUN_HASH, [one])


@pytest.mark.parametrize("module", [domain.payouts.rules, attempts, carrying, states])
def test_the_examples_in_the_rules_are_true(module: object) -> None:
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert tried
    assert not failed
