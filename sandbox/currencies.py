"""Currencies that Stripe presents, and the amounts that it takes in each.

After Stripe's pages on supported currencies: amounts are in minor units; the three-decimal ones end
in 0; ISK and UGX are sent as if they had two decimals, so they are divisible by 100.
"""

_SUPPORTED = """
aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd
cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq
gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd
lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk
php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top
try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw
"""
SUPPORTED = frozenset(_SUPPORTED.split())

DIVISIBLE_BY = {
    **dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 10),
    **dict.fromkeys(("isk", "ugx"), 100),
}

# The least that a charge or a top-up takes; a transfer may move a single minor unit.
MINIMUM_PAYMENT = 50
MAXIMUM_PAYMENT = 99_999_999
MAXIMUM_TRANSFER = 999_999_999_999

# What a payout takes besides: banks are paid no fractions of these.
PAYOUT_DIVISIBLE_BY = {**DIVISIBLE_BY, **dict.fromkeys(("huf", "twd"), 100)}

_EURO = (
    "AT BE BG CY DE EE ES FI FR GR HR IE IT LT LU LV MT NL PT SI SK",
    "eur",
)
OF_COUNTRY = {
    **dict.fromkeys(_EURO[0].split(), _EURO[1]),
    "AU": "aud",
    "BR": "brl",
    "CA": "cad",
    "CH": "chf",
    "CZ": "czk",
    "DK": "dkk",
    "GB": "gbp",
    "HK": "hkd",
    "HU": "huf",
    "IN": "inr",
    "JP": "jpy",
    "MX": "mxn",
    "NO": "nok",
    "NZ": "nzd",
    "PL": "pln",
    "RO": "ron",
    "SE": "sek",
    "SG": "sgd",
}
