"""Currencies: ISO 4217 codes, and the unit in which their amounts are counted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_TWO_DIGITS: Final = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob bov brl bsd btn bwp byn bzd cad cdf
    che chf chw cny cop cou crc cup cve czk dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd gtq gyd
    hkd hnl htg huf idr ils inr irr jmd kes kgs khr kpw kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop
    mru mur mvr mwk mxn mxv myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd
    scr sdg sek sgd shp sle sos srd ssp stn svc syp szl thb tjs tmt top try ttd twd tzs uah usd usn uyu uzs
    ved ves wst xcd xcg yer zar zmw zwg
"""
_NO_DIGITS: Final = "bif clp djf gnf jpy kmf krw pyg rwf uyi vnd vuv xaf xof xpf"
_THREE_DIGITS: Final = "bhd iqd jod kwd lyd omr tnd"
_FOUR_DIGITS: Final = "clf uyw"
# Where Stripe counts in another unit than ISO 4217 says ("Supported currencies": zero-decimal
# currencies and special cases), its unit is ours: an amount goes there as it came.
_AS_STRIPE_COUNTS: Final = {"isk": 2, "mga": 0, "ugx": 2}

#: Decimal digits of the minor unit by lower-case ISO 4217 code. Funds that name no money (XDR, gold,
#: test codes) are not in it; of what was withdrawn lately ANG and BGN are, for late events.
CURRENCIES: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(_TWO_DIGITS.split(), 2)
    | dict.fromkeys(_NO_DIGITS.split(), 0)
    | dict.fromkeys(_THREE_DIGITS.split(), 3)
    | dict.fromkeys(_FOUR_DIGITS.split(), 4)
    | _AS_STRIPE_COUNTS
)
