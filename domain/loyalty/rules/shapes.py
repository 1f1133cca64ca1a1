"""What the terms of a program look like as JSON: checked where they are set, not where they are read.

What was accepted once stays readable; what is set from now on says what it means.

>>> check({"tiers": "gold"})
Traceback (most recent call last):
domain.errors.Invalid: tiers: is a list of objects
>>> check({"multipliers": [{"basis_points": 20_000, "categories": "coffee"}]})
Traceback (most recent call last):
domain.errors.Invalid: multipliers.categories: is a list of words, such as ["coffee"]
"""

from collections.abc import Collection, Mapping
from datetime import time
from typing import Any, Final

from domain.errors import Invalid
from domain.money import MAX_AMOUNT

TIER_KEY_MAX: Final = 50
"""Longest key of a tier, as the columns that keep it."""
_OBJECTS: Final = ("multipliers", "tiers", "rewards", "expiration")
_WORDS: Final = ("qualifying_types", "pin_required")


def check(terms: Mapping[str, Any]) -> None:
    """Raises Invalid, naming the field, for terms that are not what rules can read."""
    for name in _OBJECTS:
        if name in terms and not _all(terms[name], Mapping):
            raise Invalid(name, "is a list of objects")
    for name in _WORDS:
        if name in terms and not _all(terms[name], str):
            raise Invalid(name, "is a list of words")
    if not isinstance(terms.get("stamp_reward"), str | None):
        raise Invalid("stamp_reward", "is a text")
    if not isinstance(terms.get("allow_debt", True), bool):
        raise Invalid("allow_debt", "is true or false")
    for one in terms.get("multipliers", ()):
        _check_multiplier(one)
    _check_tiers(terms.get("tiers", ()))


def _all(value: Any, kind: type) -> bool:
    return (
        isinstance(value, Collection)
        and not isinstance(value, str | bytes | Mapping)
        and all(isinstance(one, kind) for one in value)
    )


def _check_multiplier(given: Mapping[str, Any]) -> None:
    for name in ("categories", "stores"):
        if name in given and not _all(given[name], str):
            raise Invalid(f"multipliers.{name}", 'is a list of words, such as ["coffee"]')
    days = given.get("weekdays", ())
    if not _all(days, int) or any(isinstance(day, bool) for day in days):
        raise Invalid("multipliers.weekdays", "is a list of days: 1 (Monday) to 7 (Sunday)")
    for name in ("from_time", "to_time"):
        if name in given and not _is_time_of_day(given[name]):
            raise Invalid(
                f"multipliers.{name}",
                "is written 08:00, in the program's zone and without an offset",
            )


def _is_time_of_day(value: Any) -> bool:
    try:
        return isinstance(value, str) and time.fromisoformat(value).tzinfo is None
    except ValueError:
        return False


def _check_tiers(given: Collection[Mapping[str, Any]]) -> None:
    keys = [one["key"] for one in given if "key" in one]
    for key in keys:
        if not isinstance(key, str) or not key.strip() or len(key) > TIER_KEY_MAX or "\0" in key:
            raise Invalid("tiers.key", f"is a name of 1 to {TIER_KEY_MAX} characters")
    if len(set(keys)) < len(keys):
        raise Invalid("tiers.key", "each tier has a name of its own")
    if any(type(one.get("from")) is int and one["from"] > MAX_AMOUNT for one in given):
        raise Invalid("tiers.from", f"is at most {MAX_AMOUNT}")
