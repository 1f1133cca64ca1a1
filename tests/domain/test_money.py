"""Integers in, integers out, rounded half to even exactly once."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import (
    MAX_AMOUNT,
    divide_half_even,
    format_minor,
    is_currency,
    minor_digits,
    pro_rata,
    share_of,
)

amounts = st.integers(-MAX_AMOUNT, MAX_AMOUNT)


@given(amounts, st.integers(1, MAX_AMOUNT))
def test_a_division_is_the_exact_fraction_rounded_half_to_even(top: int, bottom: int) -> None:
    assert divide_half_even(top, bottom) == round(Fraction(top, bottom))


@given(st.integers(-(10**6), 10**6), st.sampled_from([2, 4, 10, 200, 10_000]))
def test_ties_go_to_the_even_neighbour_on_both_sides_of_zero(whole: int, bottom: int) -> None:
    tie = divide_half_even(whole * bottom + bottom // 2, bottom)
    assert tie % 2 == 0
    assert tie in (whole, whole + 1)
    assert divide_half_even(-whole * bottom - bottom // 2, bottom) == -tie


@pytest.mark.parametrize("bottom", [0, -1])
def test_the_whole_is_positive(bottom: int) -> None:
    with pytest.raises(AssertionError):
        divide_half_even(1, bottom)


@given(amounts, st.integers(0, 10_000))
def test_a_share_in_basis_points_is_exact(amount: int, points: int) -> None:
    assert share_of(amount, basis_points=points) == round(Fraction(amount * points, 10_000))
    assert share_of(amount, basis_points=10_000) == amount
    assert share_of(amount, basis_points=0) == 0


@given(st.integers(0, MAX_AMOUNT), st.integers(0, MAX_AMOUNT), st.integers(1, MAX_AMOUNT))
def test_a_part_never_takes_more_than_the_whole(amount: int, part: int, whole: int) -> None:
    share = pro_rata(amount, part=min(part, whole), whole=whole)
    assert 0 <= share <= amount
    assert pro_rata(amount, part=whole, whole=whole) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (0, "usd", "0.00 USD"),
        (5, "usd", "0.05 USD"),
        (-5, "usd", "-0.05 USD"),
        (123_456_789, "eur", "1,234,567.89 EUR"),
        (-100, "jpy", "-100 JPY"),
        (1_234, "jpy", "1,234 JPY"),
        (1_234_567, "kwd", "1,234.567 KWD"),
        (-1, "bhd", "-0.001 BHD"),
    ],
)
def test_an_amount_is_shown_with_the_digits_of_its_currency(
    amount: int, currency: str, shown: str
) -> None:
    assert format_minor(amount, currency) == shown


@given(amounts, st.sampled_from(["usd", "jpy", "kwd", "eur", "krw"]))
def test_what_is_shown_is_what_it_is(amount: int, currency: str) -> None:
    number = format_minor(amount, currency).split()[0].replace(",", "")
    assert Fraction(number) * 10 ** minor_digits(currency) == amount


@pytest.mark.parametrize("code", ["usd", "eur", "zzz"])
def test_a_currency_has_three_lower_case_letters(code: str) -> None:
    assert is_currency(code)


@pytest.mark.parametrize("code", ["", "us", "usdx", "USD", "u$d", "usd\n", " usd", "üsd", "123"])
def test_anything_else_is_no_currency(code: str) -> None:
    assert not is_currency(code)
