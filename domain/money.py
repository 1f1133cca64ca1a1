"""Money: integers in minor units beside a currency. Rounding is stated once, here: half to even.

>>> share_of(12_345, basis_points=1_000)      # 10 % of 123.45 is 12.345: half to even gives 12.34
1234
>>> share_of(12_355, basis_points=1_000)      # 12.355 goes to the even neighbour too: 12.36
1236
>>> pro_rata(1_000, part=333, whole=1_000)    # a third of 10.00, as a refund of 3.33 of 10.00 takes
333
"""

from typing import Final

from payspool_client.currencies import CURRENCIES

BASIS_POINTS: Final = 10_000
"""One hundred per cent."""

MAX_AMOUNT: Final = 2**53 - 1
"""The largest amount of an event (EVENTS: integers within ±2^53−1, exact in every JSON parser)."""


def is_currency(code: str) -> bool:
    """Whether ``code`` is a lower-case ISO 4217 code."""
    return code in CURRENCIES


def minor_digits(currency: str) -> int:
    """Decimal digits of the minor unit of ``currency`` (2 for most, 0 for JPY, 3 for KWD).

    A code that is in no list (a gateway may name one) is shown with two.
    """
    return CURRENCIES.get(currency, 2)


def divide_half_even(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded half to even, exactly, for a positive denominator.

    >>> [divide_half_even(n, 2) for n in (1, 3, 5, -1, -3)]
    [0, 2, 2, 0, -2]
    """
    assert denominator > 0, "the whole must be positive"
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def share_of(amount: int, *, basis_points: int) -> int:
    """``basis_points`` of ``amount`` (minor units), half to even."""
    return divide_half_even(amount * basis_points, BASIS_POINTS)


def pro_rata(amount: int, *, part: int, whole: int) -> int:
    """The share of ``amount`` that ``part`` is of ``whole`` (all minor units), half to even."""
    return divide_half_even(amount * part, whole)


def format_minor(amount: int, currency: str) -> str:
    """An amount as people read it, without locale: ``format_minor(-123456, 'usd')`` is ``-1,234.56 USD``.

    >>> format_minor(-123456, "usd"), format_minor(500, "jpy"), format_minor(1, "kwd")
    ('-1,234.56 USD', '500 JPY', '0.001 KWD')
    """
    digits = minor_digits(currency)
    sign, whole = ("-" if amount < 0 else ""), abs(amount)
    if digits == 0:
        return f"{sign}{whole:,} {currency.upper()}"
    units, rest = divmod(whole, 10**digits)
    return f"{sign}{units:,}.{rest:0{digits}d} {currency.upper()}"
