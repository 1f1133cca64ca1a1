"""What a purchase earns: rate, multipliers, rounding, and the limits of a day.

A program gives 1 point for each euro, twice as many on coffee, and three times on Tuesday mornings:

>>> from datetime import UTC, datetime
>>> from domain.loyalty.rules.programs import Program
>>> happy = parse_multipliers([
...     {"basis_points": 20_000, "categories": ["coffee"]},
...     {"basis_points": 30_000, "weekdays": [2], "from_time": "08:00", "to_time": "11:00"},
... ])
>>> program = Program(id=1, merchant_id=1, key="beans", zone="Europe/Berlin", currency="eur",
...     earn_points=1, earn_per_amount=100, multipliers=happy)
>>> monday = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
>>> multiplier_of(program, monday, store=None, categories=["tea"])
10000
>>> multiplier_of(program, monday, store=None, categories=["coffee", "tea"])
20000

Of several that fit the highest counts, and the window is one of the program's zone (10:30 in Berlin):

>>> tuesday = datetime(2026, 6, 2, 8, 30, tzinfo=UTC)
>>> multiplier_of(program, tuesday, store=None, categories=["coffee"])
30000
>>> points_for_purchase(program, 1_250, "eur", basis_points=30_000)     # 12.50 EUR × 3, rounded down once
37
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, Final

from domain.errors import Invalid
from domain.loyalty.rules.cards import Card, Recent
from domain.loyalty.rules.programs import Multiplier, Program, Refusal, Tier
from domain.money import format_minor

ONE: Final = 10_000
"""Basis points of a multiplier that changes nothing."""
MAX_BASIS_POINTS: Final = 1_000_000
"""Highest multiplier: a hundredfold."""
MAX_RULES: Final = 100
"""Most multipliers, tiers or rewards of a program: every purchase looks at all of them."""


def points_for_purchase(
    program: Program,
    amount: int,
    currency: str | None,
    *,
    basis_points: int = ONE,
    tier_basis_points: int = ONE,
) -> int | Refusal:
    """Points that a purchase of ``amount`` (minor units) earns, rounded once, as the program says.

    A purchase without a currency is taken to be in the program's.
    """
    if currency is not None and currency != program.currency:
        return Refusal(
            "currency_mismatch",
            f"program {program.key} counts purchases in {program.currency.upper()}, this one is in"
            f" {currency.upper()}",
        )
    if amount < 0:
        return Refusal("negative_amount", "a purchase amount cannot be negative")
    if amount < program.minimum_purchase:
        return Refusal(
            "below_minimum_purchase",
            f"{format_minor(amount, program.currency)} is below the minimum purchase of"
            f" {format_minor(program.minimum_purchase, program.currency)}",
        )
    points = _rounded(
        amount * program.earn_points * basis_points * tier_basis_points,
        program.earn_per_amount * ONE * ONE,
        program.rounding,
    )
    if points == 0:
        return Refusal(
            "no_points", f"{format_minor(amount, program.currency)} earn less than one point"
        )
    return points


def _rounded(dividend: int, divisor: int, rounding: str) -> int:
    whole, rest = divmod(dividend, divisor)
    if rounding == "up":
        return whole + (rest > 0)
    if rounding == "half_even":
        return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1))
    return whole


def multiplier_of(
    program: Program, happened_at: datetime, *, store: str | None, categories: Iterable[str]
) -> int:
    """Basis points of the highest multiplier that fits a purchase; ONE where none does."""
    if not program.multipliers:
        return ONE
    local, bought = happened_at.astimezone(program.tz), frozenset(categories)
    fitting = [m.basis_points for m in program.multipliers if _fits(m, local, store, bought)]
    return max(fitting, default=ONE)


def _fits(rule: Multiplier, local: datetime, store: str | None, bought: frozenset[str]) -> bool:
    if rule.categories and rule.categories.isdisjoint(bought):
        return False
    if rule.stores and store not in rule.stores:
        return False
    if rule.weekdays and local.isoweekday() not in rule.weekdays:
        return False
    if rule.starts is not None and local < rule.starts:
        return False
    if rule.ends is not None and local >= rule.ends:
        return False
    if rule.from_time <= rule.to_time:
        return rule.from_time == rule.to_time or rule.from_time <= local.time() < rule.to_time
    return local.time() >= rule.from_time or local.time() < rule.to_time


def limited(card: Card, points: int, happened_at: datetime) -> int | Refusal:
    """``points`` of an earn, or what the day's cap leaves of them; a Refusal where it comes too soon."""
    program = card.program
    if not program.limits_earning:
        return points
    soon = too_soon(card, happened_at, program.earn_cooldown_minutes, stamps=False)
    if soon is not None:
        return soon
    today = [r for r in of_the_day(card, happened_at) if r.points > 0]
    if program.daily_earn_limit is not None and len(today) >= program.daily_earn_limit:
        return Refusal(
            "daily_limit_reached", f"a card earns at most {program.daily_earn_limit} times a day"
        )
    if program.daily_points_cap is None:
        return points
    left = program.daily_points_cap - sum(r.points for r in today)
    if left <= 0:
        return Refusal(
            "daily_cap_reached", f"a card earns at most {program.daily_points_cap} points a day"
        )
    return min(points, left)


def too_soon(card: Card, happened_at: datetime, minutes: int, *, stamps: bool) -> Refusal | None:
    """The refusal of what happened within ``minutes`` of another of its kind, before or after it."""
    apart = timedelta(minutes=minutes)
    for recent in card.recent or ():
        counts = recent.stamps if stamps else recent.points
        if counts > 0 and abs(recent.at - happened_at) < apart:
            return Refusal("too_soon", f"{minutes} minutes must lie between one and the next")
    return None


def of_the_day(card: Card, happened_at: datetime) -> list[Recent]:
    """What the card got on the day of ``happened_at`` in the program's zone."""
    zone = card.program.tz
    day = happened_at.astimezone(zone).date()
    return [r for r in card.recent or () if r.at.astimezone(zone).date() == day]


def parse_multipliers(given: Sequence[Mapping[str, Any]]) -> tuple[Multiplier, ...]:
    """Read multipliers as they are configured. Raises Invalid, which names the field."""
    _check_count("multipliers", given)
    known = {
        "basis_points", "categories", "stores", "weekdays", "from_time", "to_time", "starts", "ends",
    }  # fmt: skip
    parsed = []
    for one in given:
        _check_keys("multipliers", one, known, {"basis_points"})
        _check_basis_points("multipliers.basis_points", one["basis_points"])
        weekdays = frozenset(one.get("weekdays", ()))
        if not weekdays <= set(range(1, 8)):
            raise Invalid("multipliers.weekdays", "use 1 (Monday) to 7 (Sunday)")
        try:
            parsed.append(
                Multiplier(
                    one["basis_points"],
                    frozenset(map(str, one.get("categories", ()))),
                    frozenset(map(str, one.get("stores", ()))),
                    weekdays,
                    # Of the program's zone, whatever offset was written once.
                    time.fromisoformat(one.get("from_time", "00:00")).replace(tzinfo=None),
                    time.fromisoformat(one.get("to_time", "00:00")).replace(tzinfo=None),
                    _instant(one.get("starts")),
                    _instant(one.get("ends")),
                )
            )
        except (TypeError, ValueError) as error:
            raise Invalid(
                "multipliers",
                "times are written 08:00, and starts and ends 2026-12-01T00:00:00+01:00, with an offset",
            ) from error
    return tuple(parsed)


def _instant(given: str | None) -> datetime | None:
    if given is None:
        return None
    at = datetime.fromisoformat(given)
    if at.tzinfo is None:
        raise ValueError(given)
    return at


def parse_tiers(given: Sequence[Mapping[str, Any]]) -> tuple[Tier, ...]:
    """Read tiers as they are configured. Raises Invalid, which names the field."""
    _check_count("tiers", given)
    parsed = []
    for one in given:
        _check_keys("tiers", one, {"key", "from", "basis_points"}, {"key", "from", "basis_points"})
        _check_basis_points("tiers.basis_points", one["basis_points"])
        if type(one["from"]) is not int or one["from"] < 0:
            raise Invalid("tiers.from", "give the points of the period from which the tier counts")
        parsed.append(Tier(str(one["key"]), one["from"], one["basis_points"]))
    if len({tier.threshold for tier in parsed}) < len(parsed):
        raise Invalid("tiers.from", "each tier begins at a threshold of its own")
    return tuple(parsed)


def _check_count(field: str, given: Sequence[Any]) -> None:
    if len(given) > MAX_RULES:
        raise Invalid(field, f"a program has at most {MAX_RULES}")


def _check_keys(field: str, given: Mapping[str, Any], known: set[str], needed: set[str]) -> None:
    if not given.keys() <= known or not needed <= given.keys():
        raise Invalid(field, f"each has {', '.join(sorted(needed))}, of {', '.join(sorted(known))}")


def _check_basis_points(field: str, value: Any) -> None:
    if type(value) is not int or not 0 < value <= MAX_BASIS_POINTS:
        raise Invalid(field, f"give a whole number from 1 to {MAX_BASIS_POINTS}; 10000 is once")
