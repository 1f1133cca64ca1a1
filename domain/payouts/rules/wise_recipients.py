"""Bank data of payees whom Wise pays: what each type and currency needs, and how Wise is told.

>>> ada = parse_wise_recipient('{"type": "iban", "currency": "eur", "name": "Ada", "iban": "DE89370400440532013000"}')
>>> ada.hint, ada.body["type"], ada.body["details"]["iban"]
('EUR, DE89 … 3000', 'iban', 'DE89370400440532013000')
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import Invalid
from domain.money import is_currency
from domain.payouts.rules.recipients import (
    MAX_BYTES,
    MAX_NAME,
    hint_of,
    iban_problem,
    routing_problem,
)

MIN_NAME: Final = 2
"""Shortest name of a holder that Wise takes."""

_IBAN_CURRENCIES: Final = frozenset(
    {"eur", "chf", "dkk", "nok", "sek", "pln", "czk", "huf", "ron", "gbp", "ils", "try", "aed"}
)
_CURRENCIES: Final[Mapping[str, frozenset[str] | None]] = {
    "iban": _IBAN_CURRENCIES,
    "sort_code": frozenset({"gbp"}),
    "aba": frozenset({"usd"}),
    "swift_code": None,
    "email": None,
}
"""The currencies of each type; None: any."""

_FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "iban": {"iban": "iban"},
    "sort_code": {"sort_code": "sortCode", "account_number": "accountNumber"},
    "aba": {
        "routing_number": "abartn",
        "account_number": "accountNumber",
        "account_type": "accountType",
    },
    "swift_code": {"swift_code": "swiftCode", "account_number": "accountNumber"},
    "email": {"email": "email"},
}
"""The fields of each type here, and what Wise calls them."""

_FORMS: Final = {
    "sort_code": (r"[0-9]{6}", "has 6 digits"),
    "swift_code": (r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?", "has 8 or 11 characters, as COBADEFF"),
    "email": (r"[^@\s]{1,64}@[^@\s]{1,190}", "is an address, as ada@example.com"),
    "account_type": (r"CHECKING|SAVINGS", "is CHECKING or SAVINGS"),
}
_ACCOUNTS: Final = {
    "sort_code": (r"[0-9]{8}", "has 8 digits"),
    "aba": (r"[0-9]{4,17}", "has 4 to 17 digits"),
    "swift_code": (r"[A-Z0-9]{4,34}", "has 4 to 34 letters and digits"),
}
_ADDRESS: Final = {
    "country": "country",
    "city": "city",
    "post_code": "postCode",
    "first_line": "firstLine",
    "state": "state",
}
_LEGAL_TYPES: Final = ("PRIVATE", "BUSINESS")


@dataclass(frozen=True, slots=True)
class WiseRecipient:
    """Somebody whom Wise pays in ``currency`` (lower case). ``fields`` are as given, normalised."""

    type: str
    currency: str
    name: str
    fields: Mapping[str, str]
    legal_type: str = ""
    address: Mapping[str, str] | None = None

    @property
    def destination(self) -> str:
        """The normalised destination, by which two recipients are the same."""
        numbers = ":".join(self.fields[name] for name in _FIELDS[self.type])
        return f"wise:{self.type}:{self.currency}:{numbers}"

    @property
    def hint(self) -> str:
        """What people are shown instead of the account."""
        if self.type == "iban":
            shown = hint_of(self.fields["iban"])
        elif self.type == "email":
            name, _, host = self.fields["email"].partition("@")
            shown = f"{name[:1]}…@{host}"[:40]
        else:
            shown = f"… {self.fields['account_number'][-4:]}"
        return f"{self.currency.upper()}, {shown}"

    @property
    def body(self) -> dict[str, Any]:
        """As Wise is told."""
        details: dict[str, Any] = {
            theirs: self.fields[ours] for ours, theirs in _FIELDS[self.type].items()
        }
        if self.legal_type:
            details["legalType"] = self.legal_type
        if self.address:
            details["address"] = {_ADDRESS[name]: value for name, value in self.address.items()}
        return {
            "currency": self.currency.upper(),
            "type": self.type,
            "accountHolderName": self.name,
            "details": details,
        }

    def dumped(self) -> str:
        """As it is encrypted and stored; ``parse_wise_recipient`` reads it."""
        given: dict[str, Any] = {"type": self.type, "currency": self.currency, "name": self.name}
        given |= dict(self.fields)
        if self.legal_type:
            given["legal_type"] = self.legal_type
        if self.address:
            given["address"] = dict(self.address)
        return json.dumps(given, sort_keys=True)


def parse_wise_recipient(raw: str) -> WiseRecipient:
    """The recipient that JSON text describes. Raises Invalid, naming the field and never its value."""
    data = _object(raw)
    kind, currency = data.get("type"), data.get("currency")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise Invalid("type", f"is one of {', '.join(_FIELDS)}")
    if not isinstance(currency, str) or not is_currency(currency):
        raise Invalid("currency", "is a lower-case currency code, as eur")
    carried = _CURRENCIES[kind]
    if carried is not None and currency not in carried:
        raise Invalid("currency", f"type {kind} is paid in {', '.join(sorted(carried))}")
    known = {"type", "currency", "name", "legal_type", "address", *_FIELDS[kind]}
    unknown = sorted(data.keys() - known)
    if unknown:
        raise Invalid(unknown[0][:50], f"is no field of type {kind}")
    for name in ("name", *_FIELDS[kind]):
        if name not in data:
            raise Invalid(name, f"is missing; type {kind} needs it")
        if not isinstance(data[name], str):
            raise Invalid(name, "is text")
    holder = " ".join(data["name"].split())
    if not MIN_NAME <= len(holder) <= MAX_NAME or not holder.isprintable():
        raise Invalid("name", f"is the holder's, {MIN_NAME} to {MAX_NAME} printable characters")
    fields = {name: _field(kind, name, data[name]) for name in _FIELDS[kind]}
    return WiseRecipient(
        kind, currency, holder, fields, _legal_type(data), _address(data.get("address"))
    )


def kept_wise_recipient(dumped: str) -> WiseRecipient:
    """A recipient as ``WiseRecipient.dumped`` wrote it, by whatever rules held then: today's do not judge it."""
    data = json.loads(dumped)
    fields = {name: data[name] for name in _FIELDS[data["type"]]}
    return WiseRecipient(
        data["type"],
        data["currency"],
        data["name"],
        fields,
        data.get("legal_type", ""),
        data.get("address"),
    )


def _object(raw: str) -> dict[str, Any]:
    if len(raw.encode()) > MAX_BYTES:
        raise Invalid("recipient", f"is longer than {MAX_BYTES} bytes")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise Invalid("recipient", "is not valid JSON") from None
    if not isinstance(data, dict):
        raise Invalid("recipient", "is a JSON object, as docs/how-to/pay-by-wise.md shows")
    return data


def _field(kind: str, name: str, given: str) -> str:
    value = given.strip() if name == "email" else re.sub(r"[ -]", "", given).upper()
    if name == "iban":
        problem = iban_problem(given)
    elif name == "routing_number":
        problem = routing_problem(value)
    else:
        form, wanted = _ACCOUNTS[kind] if name == "account_number" else _FORMS[name]
        problem = None if re.fullmatch(form, value) else wanted
    if problem:
        raise Invalid(name, problem)
    return value


def _legal_type(data: Mapping[str, Any]) -> str:
    given = data.get("legal_type", "")
    if given != "" and given not in _LEGAL_TYPES:
        raise Invalid("legal_type", f"is {' or '.join(_LEGAL_TYPES)}")
    return str(given)


def _address(given: Any) -> Mapping[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or not given.keys() <= _ADDRESS.keys():
        raise Invalid("address", f"is an object of {', '.join(_ADDRESS)}")
    for name, value in given.items():
        if not isinstance(value, str) or not 1 <= len(value.strip()) <= 140:
            raise Invalid(f"address.{name}", "is text of 1 to 140 characters")
    if not re.fullmatch(r"[A-Z]{2}", given.get("country", "")):
        raise Invalid("address.country", "is a code of two capitals, as US")
    return {name: given[name].strip() for name in _ADDRESS if name in given}
