"""What a program gives and what it refuses, read from its terms as they are written.

Nothing is counted along the way: whoever asks how many or how much there was before looks through all
that was kept. Shares are exact fractions, rounded once, half to even.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Protocol

Rule = dict[str, Any]


class Counted(Protocol):
    """A conversion that was counted, as far as later ones depend on it."""

    program: str
    code: str
    owner: str
    user: str
    at: datetime
    amount: int | None
    refunded: int
    reward: int
    referee: int
    lost: bool
    rejected: bool
    whole: bool


@dataclass
class Code:
    """A code; ``status`` as people set it."""

    name: str
    program: str
    owner: str
    max_uses: int | None = None
    expires_at: datetime | None = None
    status: str = "active"


@dataclass
class Program:
    """A program: its terms, which version of them that is, and what is held of it."""

    key: str
    currency: str
    terms: dict[str, Any]
    version: int = 1
    status: str = "active"
    policy: dict[str, Any] = field(default_factory=dict)

    @property
    def rule(self) -> Rule:
        rule: Rule = self.terms["rule"]
        return rule

    @property
    def in_order(self) -> bool:
        """Whether a referrer's conversions are numbered."""
        return (
            self.rule["kind"] == "tiered" or self.terms.get("max_rewards_per_referrer") is not None
        )


def share(amount: int, part: int, whole: int) -> int:
    return round(Fraction(amount * part, whole))


def rate_of(rate: Rule, amount: int | None) -> int:
    if "amount" in rate:
        given: int = rate["amount"]
        return given
    assert amount is not None
    part = share(amount, rate["basis_points"], 10_000)
    return min(part, rate.get("cap", part))


def asks_for_amount(program: Program) -> bool:
    rule = program.rule
    rates = rule["tiers"] if rule["kind"] == "tiered" else [rule]
    by_volume = rule.get("by") == "volume"
    return bool(
        by_volume or program.terms.get("min_amount") or any("basis_points" in r for r in rates)
    )


def reward_of(
    program: Program, owner: str, at: datetime, amount: int | None, kept: Sequence[Counted]
) -> int:
    """What the owner of a code gets for a conversion after those in ``kept``."""
    rule = program.rule
    if rule["kind"] != "tiered":
        return rate_of(rule, amount)
    mine = [k for k in kept if (k.program, k.owner) == (program.key, owner)]
    if rule.get("period") == "month":
        mine = [k for k in mine if (k.at.year, k.at.month) == (at.year, at.month)]
    if rule["by"] == "count":
        reached = sum(not k.whole for k in mine) + 1
    else:
        reached = sum((k.amount or 0) - k.refunded for k in mine if not (k.lost or k.rejected)) + (
            amount or 0
        )
    there = [tier for tier in rule["tiers"] if reached >= tier["from"]]
    return rate_of(there[-1], amount) if there else 0


def referee_of(program: Program, amount: int | None) -> int:
    """What who was referred gets."""
    rate = program.terms.get("referee_rule")
    return 0 if rate is None or ("amount" not in rate and amount is None) else rate_of(rate, amount)


def unusable(program: Program, code: Code, user: str, at: datetime) -> str | None:
    """Why ``user`` cannot use a code then."""
    starts, ends = program.terms.get("starts_at"), program.terms.get("ends_at")
    if code.status != "active":
        return "code_inactive"
    if program.status != "active" or (starts and at < starts) or (ends and at >= ends):
        return "program_inactive"
    if code.expires_at and at >= code.expires_at:
        return "code_expired"
    return "self_referral" if code.owner == user else None


def refused(
    program: Program,
    code: Code,
    user: str,
    at: datetime,
    amount: int | None,
    currency: str | None,
    came: datetime,
    kept: Iterable[Counted],
) -> str | None:
    """Why a conversion of a usable code does not count; ``came`` is when its window began."""
    terms, rule = program.terms, program.rule
    if currency not in (None, program.currency):
        return "currency_mismatch"
    if amount is None and asks_for_amount(program):
        return "missing_amount"
    if amount is not None and amount < terms.get("min_amount", 0):
        return "below_minimum"
    of_program = [k for k in kept if k.program == program.key and not k.rejected]
    paid_before = [k for k in of_program if k.user == user and (k.reward or k.referee)]
    if rule["kind"] == "one_time" and paid_before:
        return "already_rewarded"
    if rule["kind"] == "recurring" and paid_before:
        if len(paid_before) >= rule.get("max_payments", 10_000):
            return "already_rewarded"
        days = rule.get("duration_days")
        if days is not None and at >= paid_before[0].at + timedelta(days=days):
            return "outside_window"
    else:
        window = terms.get("window_days")
        if window is not None and at >= came + timedelta(days=window):
            return "outside_window"
    if code.max_uses is not None and sum(k.code == code.name for k in of_program) >= code.max_uses:
        return "code_exhausted"
    most = terms.get("max_rewards_per_referrer")
    rewards = sum(1 for k in of_program if k.owner == code.owner and k.reward and not k.whole)
    return "reward_cap_reached" if most is not None and rewards >= most else None
