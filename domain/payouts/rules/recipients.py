"""Bank data of payees: what a recipient of each type needs, and what is wrong with one.

>>> iban_problem("DE89 3704 0044 0532 0130 00"), hint_of("DE89370400440532013000")
(None, 'DE89 … 3000')
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import Invalid
from domain.money import is_currency

MAX_BYTES: Final = 10_240
"""Longest recipient data that is read."""

MAX_NAME: Final = 70
"""Longest holder name (ISO 20022, Max70Text as SEPA allows it)."""

IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21,
    "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
    "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22,
    "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25,
    "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Length of an IBAN by country (SWIFT IBAN registry)."""

_FIELDS: Final = {
    "iban": ({"type", "name", "iban"}, {"bic", "currencies"}),
    "us_ach": ({"type", "name", "routing_number", "account_number"}, set[str]()),
}
_BIC: Final = re.compile(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?")
_ACCOUNT: Final = re.compile(r"[0-9]{4,17}")


@dataclass(frozen=True, slots=True)
class Recipient:
    """A destination at a bank. ``account`` is the IBAN, or the account number beside ``routing``.

    ``currencies``: the only ones that it may be paid in; empty: any.
    """

    type: str
    name: str
    account: str
    routing: str = ""
    bic: str = ""
    currencies: tuple[str, ...] = ()

    @property
    def destination(self) -> str:
        """The normalised destination, by which two recipients are the same."""
        return f"{self.type}:{self.routing}:{self.account}"

    @property
    def hint(self) -> str:
        """What people are shown instead of the account."""
        return hint_of(self.account) if self.type == "iban" else f"… {self.account[-4:]}"

    def carries(self, currency: str) -> bool:
        """Whether it can be paid in ``currency``; ACH carries US dollars only."""
        return not self.currencies or currency in self.currencies

    def dumped(self) -> str:
        """As it is encrypted and stored; ``parse_recipient`` reads it."""
        if self.type == "iban":
            more: dict[str, Any] = {"bic": self.bic} if self.bic else {}
            more |= {"currencies": list(self.currencies)} if self.currencies else {}
            return json.dumps({"type": "iban", "name": self.name, "iban": self.account} | more)
        return json.dumps(
            {
                "type": self.type,
                "name": self.name,
                "routing_number": self.routing,
                "account_number": self.account,
            }
        )


def parse_recipient(raw: str) -> Recipient:
    """The recipient that JSON text describes. Raises Invalid, naming the field and never its value."""
    if len(raw.encode()) > MAX_BYTES:
        raise Invalid("recipient", f"is longer than {MAX_BYTES} bytes")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise Invalid("recipient", "is not valid JSON") from None
    if not isinstance(data, dict):
        raise Invalid("recipient", "is a JSON object, as docs/how-to/pay-by-bank-file.md shows")
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise Invalid("type", f"is one of {', '.join(_FIELDS)}")
    required, optional = _FIELDS[kind]
    unknown = sorted(data.keys() - required - optional)
    if unknown:
        raise Invalid(unknown[0][:50], f"is no field of type {kind}")
    for name in sorted(required | (optional - {"currencies"})):
        if name in required and name not in data:
            raise Invalid(name, f"is missing; type {kind} needs it")
        if name in data and not isinstance(data[name], str):
            raise Invalid(name, "is text")
    holder = " ".join(data["name"].split())
    if not 1 <= len(holder) <= MAX_NAME or not holder.isprintable():
        raise Invalid("name", f"is the account holder's, 1 to {MAX_NAME} printable characters")
    return _iban(holder, data) if kind == "iban" else _ach(holder, data)


def kept_recipient(dumped: str) -> Recipient:
    """A recipient as ``Recipient.dumped`` wrote it, by whatever rules held then: today's do not judge it.

    For what is done with all that is stored, as its encryption under another key. Who is paid is read by
    ``parse_recipient``.
    """
    data = json.loads(dumped)
    if data["type"] == "iban":
        currencies = tuple(data.get("currencies", ()))
        return Recipient("iban", data["name"], data["iban"], "", data.get("bic", ""), currencies)
    return Recipient(
        data["type"],
        data["name"],
        data["account_number"],
        routing=data["routing_number"],
        currencies=("usd",),
    )


def _iban(holder: str, data: Mapping[str, Any]) -> Recipient:
    problem = iban_problem(data["iban"])
    if problem:
        raise Invalid("iban", problem)
    bic = _compact(data.get("bic", ""))
    if bic and not _BIC.fullmatch(bic):
        raise Invalid("bic", "has 8 or 11 letters and digits, as COBADEFF")
    currencies = data.get("currencies", [])
    if not isinstance(currencies, list) or not all(
        isinstance(c, str) and is_currency(c) for c in currencies
    ):
        raise Invalid("currencies", 'is a list of lower-case currency codes, as ["eur"]')
    return Recipient("iban", holder, _compact(data["iban"]), bic=bic, currencies=tuple(currencies))


def _ach(holder: str, data: Mapping[str, Any]) -> Recipient:
    routing, account = _compact(data["routing_number"]), _compact(data["account_number"])
    problem = routing_problem(routing)
    if problem:
        raise Invalid("routing_number", problem)
    if not _ACCOUNT.fullmatch(account):
        raise Invalid("account_number", "has 4 to 17 digits")
    return Recipient("us_ach", holder, account, routing=routing, currencies=("usd",))


def routing_problem(routing: str) -> str | None:
    """What is wrong with a US routing number, or None."""
    if not re.fullmatch(r"[0-9]{9}", routing):
        return "has 9 digits"
    # ABA: 3(d1+d4+d7) + 7(d2+d5+d8) + (d3+d6+d9) is a multiple of 10.
    if sum(w * int(d) for w, d in zip((3, 7, 1) * 3, routing, strict=True)) % 10:
        return "its check digit is wrong: was it mistyped?"
    return None


def iban_problem(given: str) -> str | None:
    """What is wrong with an IBAN, or None. ISO 13616: the length of its country, and mod 97 is 1."""
    iban = _compact(given)
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]+", iban):
        return "begins with a country and two digits, as DE89…"
    expected = IBAN_LENGTHS.get(iban[:2])
    if expected is None:
        return f"{iban[:2]} is no country with IBANs"
    if len(iban) != expected:
        return f"has {len(iban)} characters; in {iban[:2]} it has {expected}"
    if int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 != 1:
        return "its check digits are wrong: was it mistyped?"
    return None


def hint_of(iban: str) -> str:
    """The first and the last four characters."""
    return f"{iban[:4]} … {iban[-4:]}"


def _compact(value: str) -> str:
    return re.sub(r"[ -]", "", value).upper()
