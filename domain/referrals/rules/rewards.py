"""What a conversion earns. Four kinds of rule; amounts in minor units, rates in basis points.

Percentage: 10 % of a purchase of 129.00, at most 5.00.

>>> rule = parse_rule({"kind": "percentage", "basis_points": 1000, "cap": 500})
>>> reward_for(rule, amount=12_900, history=History()).amount
500

Tiered by count: 5 % up to the third conversion, 10 % from the fourth on. The conversion itself counts,
and its whole amount takes the tier that it reaches.

>>> rule = parse_rule({"kind": "tiered", "by": "count", "tiers": [
...     {"from": 1, "basis_points": 500}, {"from": 4, "basis_points": 1000}]})
>>> [reward_for(rule, amount=10_000, history=History(conversions=n)).amount for n in (0, 2, 3)]
[500, 500, 1000]

One-time: 5.00 for the first conversion of each referred user, nothing for later ones.

>>> rule = parse_rule({"kind": "one_time", "amount": 500})
>>> reward_for(rule, amount=None, history=History()).amount
500
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import Invalid
from domain.money import BASIS_POINTS, MAX_AMOUNT, share_of
from domain.referrals.rules.periods import LIFETIME, PERIODS

MAX_TIERS: Final = 50
"""Tiers of one program."""
MAX_PAYMENTS: Final = 1_000
"""Longest recurring reward, in payments."""
MAX_DURATION_DAYS: Final = 3_650
"""Longest recurring reward, in days."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A fixed amount, or a share of the transaction with an optional cap for each conversion."""

    amount: int | None = None
    basis_points: int | None = None
    cap: int | None = None

    @property
    def needs_amount(self) -> bool:
        """Whether the transaction's amount must be known."""
        return self.basis_points is not None

    def of(self, transaction_amount: int | None) -> int:
        """What it gives for a transaction, minor units, half to even."""
        if self.amount is not None:
            return self.amount
        assert self.basis_points is not None
        assert transaction_amount is not None, "checked by conversions.refusal_of"
        share = share_of(transaction_amount, basis_points=self.basis_points)
        return share if self.cap is None else min(share, self.cap)

    def described(self) -> dict[str, int]:
        """Its fields as an explanation stores them."""
        fields = {"amount": self.amount, "basis_points": self.basis_points, "cap": self.cap}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class OneTime:
    """The first conversion of a referred user."""

    rate: Rate
    kind: str = "one_time"


@dataclass(frozen=True, slots=True)
class Recurring:
    """Every conversion of a referred user, for a number of payments or of days since the first."""

    rate: Rate
    max_payments: int | None
    duration_days: int | None
    kind: str = "recurring"


@dataclass(frozen=True, slots=True)
class Percentage:
    """Every conversion earns a share of its transaction."""

    rate: Rate
    kind: str = "percentage"


@dataclass(frozen=True, slots=True)
class Tiered:
    """A rate by the referrer's count or volume so far, thresholds inclusive and ascending.

    ``period``: counts begin anew with each, by the conversion's own time; None: they never do.
    """

    by: str
    tiers: tuple[tuple[int, Rate], ...]
    period: str | None = None
    kind: str = "tiered"


Rule = OneTime | Recurring | Percentage | Tiered


@dataclass(frozen=True, slots=True)
class History:
    """A referrer's accepted conversions in a program so far (reversed ones taken off).

    ``volume`` is the sum of transaction amounts less refunds, in minor units.
    """

    conversions: int = 0
    volume: int = 0


@dataclass(frozen=True, slots=True)
class Reward:
    """What a conversion earns (minor units) and why."""

    amount: int
    explanation: dict[str, Any]


def reward_for(rule: Rule, *, amount: int | None, history: History) -> Reward:
    """Decide what an accepted conversion of ``amount`` (minor units) earns its referrer."""
    because: dict[str, Any] = {"rule": rule.kind}
    if amount is not None:
        because["of"] = amount
    if not isinstance(rule, Tiered):
        return Reward(rule.rate.of(amount), because | rule.rate.described())
    reached = history.conversions + 1 if rule.by == "count" else history.volume + (amount or 0)
    because |= {"by": rule.by, "reached": reached}
    if rule.period is not None:
        because["period"] = rule.period
    tier, rate = 0, None
    for number, (threshold, candidate) in enumerate(rule.tiers, start=1):
        if reached >= threshold:
            tier, rate = number, candidate
    if rate is None:
        return Reward(0, because | {"tier": None})
    return Reward(rate.of(amount), because | {"tier": tier} | rate.described())


def needs_amount(rule: Rule) -> bool:
    """Whether a conversion under this rule must carry an amount."""
    if isinstance(rule, Tiered):
        return rule.by == "volume" or any(rate.needs_amount for _, rate in rule.tiers)
    return rule.rate.needs_amount


def parse_rule(raw: Mapping[str, Any]) -> Rule:
    """Read a rule as it is stored and as commands take it. Raises Invalid, naming the field."""
    kind = raw.get("kind")
    allowed = {
        "one_time": {"amount", "basis_points", "cap"},
        "percentage": {"basis_points", "cap"},
        "recurring": {"amount", "basis_points", "cap", "max_payments", "duration_days"},
        "tiered": {"by", "tiers", "period"},
    }
    if not isinstance(kind, str) or kind not in allowed:
        raise Invalid("rule.kind", f"is one of {', '.join(allowed)}")
    unknown = sorted(set(raw) - allowed[kind] - {"kind"})
    if unknown:
        raise Invalid(f"rule.{unknown[0]}", f"is not a field of a {kind} rule")
    if kind == "tiered":
        return _parse_tiered(raw)
    rate = parse_rate({k: v for k, v in raw.items() if k in ("amount", "basis_points", "cap")})
    if kind == "one_time":
        return OneTime(rate)
    if kind == "percentage":
        return Percentage(rate)
    payments = _integer(raw, "max_payments", 1, MAX_PAYMENTS, "rule")
    days = _integer(raw, "duration_days", 1, MAX_DURATION_DAYS, "rule")
    if payments is None and days is None:
        raise Invalid("rule", "a recurring rule needs max_payments or duration_days")
    return Recurring(rate, payments, days)


def parse_rate(raw: Mapping[str, Any], path: str = "rule") -> Rate:
    """Read ``{"amount": …}`` or ``{"basis_points": …, "cap": …}``. Raises Invalid."""
    unknown = sorted(set(raw) - {"amount", "basis_points", "cap"})
    if unknown:
        raise Invalid(f"{path}.{unknown[0]}", "a reward has amount, or basis_points and cap")
    amount = _integer(raw, "amount", 1, MAX_AMOUNT, path)
    points = _integer(raw, "basis_points", 1, BASIS_POINTS, path)
    cap = _integer(raw, "cap", 1, MAX_AMOUNT, path)
    if (amount is None) == (points is None):
        raise Invalid(path, "give either amount (minor units) or basis_points (1 to 10000)")
    if cap is not None and points is None:
        raise Invalid(f"{path}.cap", "goes with basis_points only")
    return Rate(amount, points, cap)


def _parse_tiered(raw: Mapping[str, Any]) -> Tiered:
    by, tiers = raw.get("by"), raw.get("tiers")
    if by not in ("count", "volume"):
        raise Invalid("rule.by", "is count or volume")
    period = raw.get("period")
    if period not in (None, LIFETIME, *PERIODS):
        raise Invalid("rule.period", f"is one of {', '.join(PERIODS)}, or {LIFETIME}")
    if not isinstance(tiers, list) or not 1 <= len(tiers) <= MAX_TIERS:
        raise Invalid("rule.tiers", f"is a list of 1 to {MAX_TIERS} tiers")
    parsed: list[tuple[int, Rate]] = []
    for number, tier in enumerate(tiers):
        path = f"rule.tiers[{number}]"
        if not isinstance(tier, Mapping):
            raise Invalid(path, "is an object with from, and amount or basis_points")
        threshold = _integer(tier, "from", 0, MAX_AMOUNT, path)
        if threshold is None:
            raise Invalid(f"{path}.from", "is required: where the tier begins, inclusive")
        if parsed and threshold <= parsed[-1][0]:
            raise Invalid(f"{path}.from", "must be greater than the tier before it")
        parsed.append((threshold, parse_rate({k: v for k, v in tier.items() if k != "from"}, path)))
    return Tiered(by, tuple(parsed), None if period == LIFETIME else period)


def _integer(raw: Mapping[str, Any], name: str, low: int, high: int, path: str) -> int | None:
    value = raw.get(name)
    if value is None:
        return None
    if type(value) is not int or not low <= value <= high:
        raise Invalid(f"{path}.{name}", f"is an integer from {low} to {high}")
    return value
