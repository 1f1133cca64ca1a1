"""The terms of a program's version: what may be configured, its limits, and how it is kept.

>>> checked({"currency": "eur", "multipliers": [{"basis_points": 20_000}]})["multipliers"]
[{'basis_points': 20000}]
>>> checked({"currency": "eur", "inactivity_days": 0})
Traceback (most recent call last):
domain.errors.Invalid: inactivity_days: give a whole number from 1 to 3660
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypedDict

from domain.errors import Invalid
from domain.loyalty.rules.earning import MAX_RULES, parse_multipliers, parse_tiers
from domain.loyalty.rules.policies import MAX_DAYS, parse_policies
from domain.loyalty.rules.programs import Reward
from domain.loyalty.rules.shapes import check as check_shapes
from domain.loyalty.rules.types import QUALIFYING_TYPES
from domain.money import MAX_AMOUNT, is_currency

MAX_EARN_POINTS: Final = 1_000_000
"""Most points for one `earn_per_amount`, and most of a welcome bonus."""
MAX_MINUTES: Final = 7 * 24 * 60
"""Longest cooldown, and longest hold: a week."""
PIN_POLICIES: Final = ("points", "redemptions", "stamps")
"""What a program may ask a PIN of the staff for."""
MAX_COST: Final = 100_000_000
"""Most minor units that a thousand points cost: a million of most currencies."""
REWARD_ID_MAX: Final = 50
DESCRIPTION_MAX: Final = 255
"""As the columns that keep a reward as it was."""


class Terms(TypedDict, total=False):
    """What a version of a program says. Amounts are minor units of ``currency``; see docs/reference/loyalty.md."""

    earn_points: int
    earn_per_amount: int
    minimum_purchase: int
    rounding: str
    multipliers: Sequence[Mapping[str, Any]]
    welcome_bonus: int
    min_redemption: int
    pending_days: int
    earn_cooldown_minutes: int
    daily_earn_limit: int | None
    daily_points_cap: int | None
    hold_minutes: int
    notice_days: int | None
    pin_required: Collection[str]
    tiers: Sequence[Mapping[str, Any]]
    tier_days: int
    rewards: Sequence[Mapping[str, Any]]
    kind: str
    stamp_target: int | None
    stamp_reward: str | None
    stamp_cooldown_minutes: int
    stamp_daily_limit: int | None
    backdating_days: int
    inactivity_days: int | None
    qualifying_types: Collection[str]
    expiration: Sequence[Mapping[str, Any]]
    allow_debt: bool
    restore_days: int
    cost_per_1000_points: int | None


DEFAULTS: Final[Mapping[str, Any]] = {
    "earn_points": 1,
    "earn_per_amount": 100,
    "minimum_purchase": 0,
    "rounding": "down",
    "multipliers": [],
    "welcome_bonus": 0,
    "min_redemption": 1,
    "pending_days": 0,
    "earn_cooldown_minutes": 0,
    "daily_earn_limit": None,
    "daily_points_cap": None,
    "hold_minutes": 15,
    "notice_days": 14,
    "pin_required": (),
    "tiers": [],
    "tier_days": 365,
    "rewards": [],
    "kind": "points",
    "stamp_target": None,
    "stamp_reward": None,
    "stamp_cooldown_minutes": 15,
    "stamp_daily_limit": 5,
    "backdating_days": 30,
    "inactivity_days": None,
    "qualifying_types": ("points_earned", "points_redeemed"),
    "expiration": [],
    "allow_debt": True,
    "restore_days": 30,
    "cost_per_1000_points": None,
}

_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "earn_points": (0, MAX_EARN_POINTS),
    "earn_per_amount": (1, MAX_AMOUNT),
    "minimum_purchase": (0, MAX_AMOUNT),
    "welcome_bonus": (0, MAX_EARN_POINTS),
    "min_redemption": (1, MAX_AMOUNT),
    "pending_days": (0, MAX_DAYS),
    "backdating_days": (0, MAX_DAYS),
    "restore_days": (1, MAX_DAYS),
    "inactivity_days": (1, MAX_DAYS),
    "stamp_target": (1, MAX_EARN_POINTS),
    "stamp_cooldown_minutes": (0, MAX_MINUTES),
    "stamp_daily_limit": (1, MAX_EARN_POINTS),
    "earn_cooldown_minutes": (0, MAX_MINUTES),
    "daily_earn_limit": (1, MAX_EARN_POINTS),
    "daily_points_cap": (1, MAX_AMOUNT),
    "hold_minutes": (1, MAX_MINUTES),
    "notice_days": (1, MAX_DAYS),
    "tier_days": (1, MAX_DAYS),
    "cost_per_1000_points": (0, MAX_COST),
}
_MAY_BE_NULL: Final = ("stamp_daily_limit", "notice_days")
"""Terms with a default that null turns off."""
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "kind": ("points", "stamps", "hybrid"),
    "rounding": ("down", "half_even", "up"),
}


def checked(terms: Mapping[str, Any]) -> dict[str, Any]:
    """``terms`` with the defaults of what they leave out, as they are kept. Raises Invalid, naming the field."""
    unknown = sorted(terms.keys() - DEFAULTS.keys() - {"currency"})
    if unknown:
        raise Invalid(unknown[0], f"no such term; there are {', '.join(sorted(DEFAULTS))}")
    whole = {**DEFAULTS, **terms}
    check_shapes(whole)
    if not is_currency(whole.get("currency", "")):
        raise Invalid(
            "currency", f"{whole.get('currency')!r} is not a lower-case ISO 4217 code such as eur"
        )
    for name, (least, most) in _RANGES.items():
        value = whole[name]
        if value is None and DEFAULTS[name] is None:
            continue
        if name in _MAY_BE_NULL and value is None:
            continue
        if type(value) is not int or not least <= value <= most:
            raise Invalid(name, f"give a whole number from {least} to {most}")
    for name, choices in _CHOICES.items():
        if whole[name] not in choices:
            raise Invalid(name, f"choose among {', '.join(choices)}")
    others = sorted(set(whole["qualifying_types"]) - set(QUALIFYING_TYPES))
    if others:
        raise Invalid(
            "qualifying_types",
            f"{', '.join(others)} cannot count as activity; choose among {', '.join(QUALIFYING_TYPES)}",
        )
    if whole["inactivity_days"] is not None and not whole["qualifying_types"]:
        raise Invalid("qualifying_types", "with an inactivity policy, name at least one")
    if len(whole["stamp_reward"] or "") > DESCRIPTION_MAX:
        raise Invalid("stamp_reward", f"use at most {DESCRIPTION_MAX} characters")
    if not all(one in PIN_POLICIES for one in whole["pin_required"]):
        raise Invalid("pin_required", f"choose among {', '.join(PIN_POLICIES)}")
    whole["pin_required"] = sorted(set(whole["pin_required"]))
    parse_multipliers(whole["multipliers"])
    parse_tiers(whole["tiers"])
    parse_policies(whole["expiration"])
    parse_rewards(whole["rewards"])
    whole["qualifying_types"] = sorted(set(whole["qualifying_types"]))
    return whole


def parse_rewards(given: Sequence[Mapping[str, Any]]) -> tuple[Reward, ...]:
    """Read a catalogue as it is configured. Raises Invalid, which names the field."""
    if len(given) > MAX_RULES:
        raise Invalid("rewards", f"a program has at most {MAX_RULES}")
    rewards = []
    for one in given:
        if not one.keys() <= {"id", "description", "points", "stamps", "cash"}:
            raise Invalid(
                "rewards", "each has an id, a description, points or stamps, and cash if it pays"
            )
        reward = Reward(
            str(one.get("id", "")),
            str(one.get("description", "")),
            one.get("points"),
            one.get("stamps"),
            one.get("cash"),
        )
        if not 0 < len(reward.id) <= REWARD_ID_MAX:
            raise Invalid("rewards.id", f"use 1 to {REWARD_ID_MAX} characters")
        if len(reward.description) > DESCRIPTION_MAX:
            raise Invalid("rewards.description", f"use at most {DESCRIPTION_MAX} characters")
        costs = [cost for cost in (reward.points, reward.stamps) if cost is not None]
        if len(costs) != 1 or type(costs[0]) is not int or not 0 < costs[0] <= MAX_AMOUNT:
            raise Invalid("rewards", "each costs either points or stamps, a positive number")
        cash = reward.cash
        if cash is not None and (type(cash) is not int or not 0 < cash <= MAX_AMOUNT):
            raise Invalid("rewards.cash", "give a positive number of minor units")
        if cash is not None and reward.points is None:
            raise Invalid("rewards.cash", "only points turn into cash")
        rewards.append(reward)
    if len({reward.id for reward in rewards}) < len(rewards):
        raise Invalid("rewards.id", "each reward has an id of its own")
    return tuple(rewards)
