"""The kinds of parameters, and the check that runs before an endpoint executes.

A `Spec` names every parameter of an endpoint. What it does not name is `parameter_unknown`; what
Stripe has and the sandbox does not act on is a `Refused` with its reason. Everything raised here is
a validation failure: no idempotency key remembers it.
"""

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from sandbox import currencies
from sandbox.errors import (
    InvalidParameter,
    ParameterMissing,
    ParameterUnknown,
    ParameterUnsupported,
)
from sandbox.form import Raw

MAX_TEXT = 5000
MAX_METADATA_KEYS = 50
MAX_METADATA_KEY = 40
MAX_METADATA_VALUE = 500
MAX_EXPAND_DEPTH = 4
MAX_LIST_LIMIT = 100
_LARGEST_INTEGER = 2**63 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


@dataclass(frozen=True)
class Kind:
    """How one parameter is read."""

    required: bool = False

    def must(self) -> Self:
        """Return the same kind, required."""
        return replace(self, required=True)

    @abstractmethod
    def parse(self, value: Any, name: str) -> Any:
        """Return the value as the endpoint wants it.

        Raises:
            InvalidParameter: the value is not of this kind.
        """


Spec = Mapping[str, Kind]


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidParameter(f"Invalid string: {name} was sent as a hash.", name)
    return value


@dataclass(frozen=True)
class Text(Kind):
    """A string. An empty one unsets (and reads as None) where `unsets` says so."""

    limit: int = MAX_TEXT
    unsets: bool = False
    pattern: str | None = None

    def parse(self, value: Any, name: str) -> str | None:
        text = _text(value, name)
        if not text:
            if self.unsets:
                return None
            raise InvalidParameter(
                f"You passed an empty string for {name}; leave it out to leave it unset.",
                name,
                "parameter_invalid_empty",
            )
        if len(text) > self.limit:
            raise InvalidParameter(
                f"Invalid string: {name} has {len(text)} characters, at most {self.limit} allowed.",
                name,
                "parameter_invalid_string",
            )
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise InvalidParameter(f"Invalid {name}: {text}", name, "parameter_invalid_string")
        return text


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number within bounds."""

    minimum: int = -_LARGEST_INTEGER
    maximum: int = _LARGEST_INTEGER

    def parse(self, value: Any, name: str) -> int:
        text = _text(value, name)
        code = "parameter_invalid_integer"
        if not _INTEGER.fullmatch(text):
            raise InvalidParameter(f"Invalid integer: {text}", name, code)
        number = int(text)
        if number < self.minimum:
            message = f"{name} must be greater than or equal to {self.minimum}."
            raise InvalidParameter(message, name, code)
        if number > self.maximum:
            message = f"{name} must be less than or equal to {self.maximum}."
            raise InvalidParameter(message, name, code)
        return number


@dataclass(frozen=True)
class Amount(Integer):
    """A positive amount in minor units, with the least and the most that the endpoint takes."""

    minimum: int = 1
    least: int = 1
    maximum: int = currencies.MAXIMUM_TRANSFER

    def parse(self, value: Any, name: str) -> int:
        number = Integer(minimum=self.minimum).parse(value, name)
        if number < self.least:
            message = f"{name} must be at least {self.least}."
            raise InvalidParameter(message, name, "amount_too_small")
        if number > self.maximum:
            message = f"{name} must be no more than {self.maximum}."
            raise InvalidParameter(message, name, "amount_too_large")
        return number


@dataclass(frozen=True)
class Boolean(Kind):
    """`true` or `false`."""

    def parse(self, value: Any, name: str) -> bool:
        text = _text(value, name)
        if text not in ("true", "false"):
            raise InvalidParameter(f"Invalid boolean: {text}", name)
        return text == "true"


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words."""

    words: tuple[str, ...] = ()

    def parse(self, value: Any, name: str) -> str:
        text = _text(value, name)
        if text not in self.words:
            message = f"Invalid {name}: must be one of {', '.join(self.words)}"
            raise InvalidParameter(message, name)
        return text


def choice(*words: str) -> Choice:
    """Return the kind that takes one of `words`."""
    return Choice(words=words)


@dataclass(frozen=True)
class Currency(Kind):
    """A supported currency; Stripe answers in lower case whatever was sent."""

    def parse(self, value: Any, name: str) -> str:
        text = _text(value, name).lower()
        if text not in currencies.SUPPORTED:
            raise InvalidParameter(f"Invalid currency: {text}", name)
        return text


@dataclass(frozen=True)
class Metadata(Kind):
    """Up to 50 keys of 40 characters with values of 500.

    Reads as None when the whole was unset with an empty string; an empty value unsets its key.
    """

    def parse(self, value: Any, name: str) -> dict[str, str] | None:
        if value == "":
            return None
        if not isinstance(value, dict):
            raise InvalidParameter(f"Invalid object: {name} must be a hash.", name)
        if len(value) > MAX_METADATA_KEYS:
            message = f"{name} can have up to {MAX_METADATA_KEYS} keys, you passed {len(value)}."
            raise InvalidParameter(message, name)
        for key, text in value.items():
            inner = f"{name}[{key}]"
            if not isinstance(text, str):
                raise InvalidParameter(f"Metadata values must be strings: {inner}", inner)
            if not key or len(key) > MAX_METADATA_KEY:
                message = f"Metadata keys have 1 to {MAX_METADATA_KEY} characters: {inner}"
                raise InvalidParameter(message, inner)
            if len(text) > MAX_METADATA_VALUE:
                message = f"Metadata values have up to {MAX_METADATA_VALUE} characters: {inner}"
                raise InvalidParameter(message, inner)
        return dict(value)


@dataclass(frozen=True)
class Many(Kind):
    """A list of one kind, sent as `name[]=` or `name[0]=`."""

    of: Kind = field(default_factory=Text)
    most: int = 100

    def parse(self, value: Any, name: str) -> list[Any]:
        if value == "":
            return []
        if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
            raise InvalidParameter(f"Invalid array: {name}", name)
        if len(value) > self.most:
            raise InvalidParameter(f"{name} takes up to {self.most} values.", name)
        ordered = sorted(value.items(), key=lambda item: int(item[0]))
        return [self.of.parse(item, f"{name}[{index}]") for index, item in ordered]


@dataclass(frozen=True)
class Hash(Kind):
    """A nested hash with a spec of its own."""

    spec: Spec = field(default_factory=dict)

    def parse(self, value: Any, name: str) -> dict[str, Any] | None:
        if value == "":
            return None
        if not isinstance(value, dict):
            raise InvalidParameter(f"Invalid object: {name} must be a hash.", name)
        return parse(self.spec, value, name)


@dataclass(frozen=True)
class TokenOrHash(Hash):
    """A token, which reads as `{"token": …}`, or the hash that it stands for."""

    def parse(self, value: Any, name: str) -> dict[str, Any] | None:
        return {"token": value} if isinstance(value, str) and value else super().parse(value, name)


@dataclass(frozen=True)
class Range(Kind):
    """A number, or a hash of `gt`, `gte`, `lt` and `lte`; reads as (operator, number) pairs."""

    OPERATORS: ClassVar[dict[str, str]] = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

    def parse(self, value: Any, name: str) -> list[tuple[str, int]]:
        if isinstance(value, str):
            return [("=", Integer().parse(value, name))]
        bounds = parse(dict.fromkeys(self.OPERATORS, Integer()), value, name)
        return [(self.OPERATORS[word], number) for word, number in bounds.items()]


@dataclass(frozen=True)
class Refused(Kind):
    """A parameter of Stripe's that the sandbox refuses by name, with the reason."""

    reason: str = ""

    def parse(self, _value: Any, name: str) -> Any:
        raise ParameterUnsupported(name, self.reason)


def refused(reason: str) -> Refused:
    """Return the kind that refuses, saying why."""
    return Refused(reason=reason)


EXPAND = Many(of=Text(), most=20)
LIST: Spec = {
    "expand": EXPAND,
    "limit": Integer(minimum=1, maximum=MAX_LIST_LIMIT),
    "starting_after": Text(),
    "ending_before": Text(),
}


def parse(spec: Spec, raw: Raw, within: str = "") -> dict[str, Any]:
    """Return the parsed parameters; those that were not sent are absent.

    Raises:
        InvalidParameter: the first one that is unknown, missing or malformed, by name.
    """

    def named(key: str) -> str:
        return f"{within}[{key}]" if within else key

    for key in raw:
        if key not in spec:
            raise ParameterUnknown(named(key))
    for key, kind in spec.items():
        if kind.required and key not in raw:
            raise ParameterMissing(named(key))
    return {key: spec[key].parse(value, named(key)) for key, value in raw.items()}


def check_amount(
    amount: int, currency: str, name: str = "amount", *, to_bank: bool = False
) -> None:
    """Refuse amounts that the currency, or with `to_bank` a payout in it, cannot carry."""
    steps = currencies.PAYOUT_DIVISIBLE_BY if to_bank else currencies.DIVISIBLE_BY
    step = steps.get(currency, 1)
    if amount % step:
        message = f"Amounts in {currency} must be divisible by {step}, not {amount}."
        raise InvalidParameter(message, name, "parameter_invalid_integer")


def leaves(spec: Spec, within: str = "") -> Iterable[tuple[str, Kind]]:
    """Yield every parameter of a spec with its full name; a hash yields itself, then its own."""
    for key, kind in spec.items():
        name = f"{within}[{key}]" if within else key
        yield name, kind
        if isinstance(kind, Hash):
            yield from leaves(kind.spec, name)
