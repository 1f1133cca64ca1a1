"""Amounts as Wise writes them, decimal numbers of a currency, and as the books keep them.

Rates and fees are the sandbox's own and never change: half a unit of the source currency for each
transfer, and 0.4 % of the source amount where it is converted.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox import currencies
from sandbox.wise.call import Invalid

_NO_DECIMALS = frozenset(
    [
        "bif",
        "clp",
        "djf",
        "gnf",
        "isk",
        "jpy",
        "kmf",
        "krw",
        "pyg",
        "rwf",
        "ugx",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    ]
)
_THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
MAXIMUM = 10**14
# What one euro is worth.
_RATES = {
    code: Decimal(rate)
    for code, rate in (
        pair.split("=")
        for pair in [
            "EUR=1",
            "USD=1.1",
            "GBP=0.85",
            "CHF=0.95",
            "SEK=11.2",
            "NOK=11.6",
            "DKK=7.46",
            "PLN=4.3",
            "CZK=25",
            "HUF=400",
            "RON=5",
            "AUD=1.7",
            "CAD=1.5",
            "NZD=1.85",
            "SGD=1.45",
            "JPY=160",
            "INR=95",
            "BRL=6",
            "MXN=20",
        ]
    )
}
_FLAT_FEE = Decimal("0.5")
_CONVERSION_FEE = Decimal("0.004")


def exponent(currency: str) -> int:
    """Return how many decimals the currency has."""
    code = currency.lower()
    return 0 if code in _NO_DECIMALS else 3 if code in _THREE_DECIMALS else 2


def currency_of(value: Any, path: str) -> str:
    """Return a currency code in capitals.

    Raises:
        Invalid: it is none.
    """
    if not isinstance(value, str) or value.lower() not in currencies.SUPPORTED:
        message = "Send a currency by its ISO 4217 code."
        raise Invalid(path, message, "CurrencyCode")
    return value.upper()


def minor(value: Any, currency: str, path: str) -> int:
    """Return a decimal amount in minor units.

    Raises:
        Invalid: no positive number, or one with too many decimals.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Invalid(path, "Send a number.", "ERROR")
    scaled = Decimal(value).scaleb(exponent(currency))
    if not 0 < scaled <= MAXIMUM:
        raise Invalid(path, "Send a number that is larger than 0.", "error.greaterThanZero")
    if scaled != scaled.to_integral_value():
        raise Invalid(path, f"{currency} has {exponent(currency)} decimals.", "ERROR")
    return int(scaled)


def shown(amount: int, currency: str) -> float:
    """Return minor units as the decimal number that the API shows."""
    return float(Decimal(amount).scaleb(-exponent(currency)))


def rate(source: str, target: str) -> Decimal:
    """Return what one unit of `source` is worth in `target`.

    Raises:
        Invalid: the sandbox does not convert between them.
    """
    if source == target:
        return Decimal(1)
    for code, path in ((source, "sourceCurrency"), (target, "targetCurrency")):
        if code not in _RATES:
            message = f"The sandbox converts between {', '.join(_RATES)} only."
            raise Invalid(path, message, "error.route.not.supported")
    return (_RATES[target] / _RATES[source]).quantize(Decimal("0.000001"))


def fee(amount: Decimal, *, converts: bool) -> Decimal:
    """Return the fee on a source amount, in the same unit."""
    return _FLAT_FEE + (amount * _CONVERSION_FEE if converts else 0)


def amounts(source: str, target: str, given: int, *, is_source: bool) -> tuple[int, int, int]:
    """Return (source amount, fee, target amount) in minor units; the fee is part of the source.

    Raises:
        Invalid: the fee would take all of it.
    """
    worth, converts = rate(source, target), source != target

    def rounded(value: Decimal, currency: str) -> int:
        return int(value.scaleb(exponent(currency)).quantize(Decimal(1), ROUND_HALF_UP))

    if is_source:
        whole = Decimal(given).scaleb(-exponent(source))
        charged = rounded(fee(whole, converts=converts), source)
        sent = Decimal(given - charged).scaleb(-exponent(source))
        received = rounded(sent * worth, target)
        if received <= 0:
            raise Invalid("sourceAmount", "The fee would take all of it.", "error.amount.low")
        return given, charged, received
    sent = Decimal(given).scaleb(-exponent(target)) / worth
    # The fee is a share of the whole source amount, which it is itself a part of.
    share = 1 - _CONVERSION_FEE if converts else Decimal(1)
    whole = (sent + _FLAT_FEE) / share
    total = rounded(whole, source)
    return total, total - rounded(sent, source), given
