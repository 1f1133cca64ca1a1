"""Which part of an amount a gateway can carry; the rest is carried over to the next run.

>>> part("stripe", "usd", 1_234)
1234
>>> part("stripe", "kwd", 5_124)                 # 5.124 KWD: the last digit has to be 0
5120
>>> part("stripe", "usd", 250_000_000)           # 2,500,000.00 USD: at most eight digits at once
99999999
>>> part("manual", "isk", 599)                   # 5.99 kronur: there are no hundredths
500
>>> part("stripe", "kwd", 9), is_carried("stripe", "ugx"), is_carried("stripe", "zzz")
(0, False, False)
"""

from typing import Final

_STRIPE: Final = """
aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf
chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg
huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk
mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub
rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah usd uyu uzs vnd vuv
wst xaf xcd xcg xof xpf yer zar zmw
"""
STRIPE_CURRENCIES: Final = frozenset(_STRIPE.split())
"""What Stripe moves, by its page on supported currencies; without UGX, whose amounts it reads as
hundredths in one place and as whole shillings in another."""

STEPS: Final = dict.fromkeys(("isk", "ugx"), 100)
"""What amounts have to be a multiple of whatever the method: we count these in hundredths, as Stripe does,
and no bank moves any."""

STRIPE_STEPS: Final = {
    # Three decimals, of which the last has to be 0.
    **dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 10),
    # With decimals, but a bank is paid whole forints and dollars only: the rest would be left behind on
    # the connected account.
    **dict.fromkeys(("huf", "twd"), 100),
}
"""What amounts by Stripe have to be a multiple of besides, in minor units (the same page, three-decimal
currencies and special cases)."""

STRIPE_MAX: Final = 99_999_999
"""Largest amount at once, in minor units: Stripe documents eight digits for amounts, and no other figure
for transfers."""
STRIPE_MAX_OF: Final = {"idr": 999_999_999_999}
"""Currencies for which it documents another one."""

MAX_DUE: Final = 2**63 - 1
"""The largest sum that can be written as an amount, in minor units (PostgreSQL's bigint)."""


def is_carried(method: str, currency: str) -> bool:
    """Whether payouts by ``method`` can be made in ``currency`` at all."""
    return method != "stripe" or currency in STRIPE_CURRENCIES


def step(method: str, currency: str) -> int:
    """What every amount has to be a multiple of, in minor units."""
    everywhere = STEPS.get(currency, 1)
    return STRIPE_STEPS.get(currency, everywhere) if method == "stripe" else everywhere


def limit(method: str, currency: str) -> int:
    """The largest amount of one payout, in minor units."""
    return STRIPE_MAX_OF.get(currency, STRIPE_MAX) if method == "stripe" else MAX_DUE


def most(method: str, currency: str) -> int:
    """The largest amount of one payout that is also a multiple of the step, in minor units.

    >>> most("stripe", "kwd")
    99999990
    """
    return part(method, currency, limit(method, currency))


def part(method: str, currency: str, amount: int) -> int:
    """The largest part of ``amount`` (minor units, positive) that one payout can carry; may be 0."""
    unit = step(method, currency)
    return min(amount, limit(method, currency)) // unit * unit
