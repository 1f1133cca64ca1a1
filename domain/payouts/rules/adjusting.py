"""How much one person may adjust alone: a sum over a week, by merchant and currency.

A second person agrees to what goes beyond it. The limit is stated in whole units of the currency, for a
minor unit is a thousandth of a dinar and all of a yen:

>>> [(code, alone_limit(code, None)) for code in ("usd", "jpy", "kwd")]
[('usd', 10000), ('jpy', 10000), ('kwd', 100000)]
>>> alone_limit("usd", Limits(adjust_alone=0)), is_alone(6_000, used=4_000, limit=10_000)
(0, True)
>>> is_alone(-6_000, used=4_001, limit=10_000)
False
"""

from typing import Final

from domain.money import minor_digits
from domain.payouts.rules.approving import Limits

UNITS: Final = 100
"""Whole units of a currency with decimals that one person may adjust in a week, where a merchant sets nothing."""
UNITS_WITHOUT_DECIMALS: Final = 10_000
"""The same of a currency without decimals, whose unit is worth about what others call a cent, or less."""
WINDOW_DAYS: Final = 7
"""How many days of real time count (as `adjusted_alone` of the database)."""


def alone_limit(currency: str, limits: Limits | None) -> int:
    """The sum, in minor units of ``currency``, that one person may adjust alone within a week."""
    if limits is not None and limits.adjust_alone is not None:
        return limits.adjust_alone
    digits = minor_digits(currency)
    return UNITS * 10**digits if digits else UNITS_WITHOUT_DECIMALS


def is_alone(amount: int, *, used: int, limit: int) -> bool:
    """Whether one person may adjust ``amount``, of either sign, having adjusted ``used`` within the week."""
    return used + abs(amount) <= limit
