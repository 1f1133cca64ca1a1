"""Whether a conversion counts, and what a counted one gives.

>>> from datetime import UTC, datetime
>>> from domain.referrals.rules.rewards import parse_rule
>>> program = Program(id=1, version=1, status="active", rule=parse_rule({"kind": "one_time", "amount": 500}),
...                   referee_rate=None, currency="usd", hold_days=14, window_days=30,
...                   max_rewards_per_referrer=None, min_amount=1_000, payout_method=None)
>>> code = Code(id=1, code="REF-7K2M9Q", program_id=1, user_id="ada", status="active", max_uses=None,
...             uses=0, expires_at=None)
>>> june = datetime(2026, 6, 1, tzinfo=UTC)
>>> refusal_of(program, code, Conversion("ada", 5_000, "usd", june), Standing(attributed_at=june)).reason
'self_referral'
>>> refusal_of(program, code, Conversion("ben", 999, "usd", june), Standing(attributed_at=june)).reason
'below_minimum'
>>> refusal_of(program, code, Conversion("ben", 5_000, "usd", june), Standing(attributed_at=june)) is None
True
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from domain.money import format_minor
from domain.referrals.rules.holds import HoldPolicy
from domain.referrals.rules.rewards import OneTime, Rate, Recurring, Rule, Tiered, needs_amount

MAX_HOLD_DAYS: Final = 90
"""Longest hold of a program (REFERRALS)."""

REASONS: Final = (
    "code_not_found",
    "code_inactive",
    "code_expired",
    "code_exhausted",
    "program_inactive",
    "self_referral",
    "duplicate_transaction",
    "already_rewarded",
    "outside_window",
    "below_minimum",
    "reward_cap_reached",
    "currency_mismatch",
    "missing_amount",
)
"""Every reason for which a conversion is refused."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An expected refusal: a reason code, and a sentence that says what is the matter."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program at one version. Amounts in minor units of ``currency``."""

    id: int
    version: int
    status: str
    rule: Rule
    referee_rate: Rate | None
    currency: str
    hold_days: int
    window_days: int | None
    max_rewards_per_referrer: int | None
    min_amount: int
    payout_method: str | None
    holds: HoldPolicy = field(default_factory=HoldPolicy)
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def period(self) -> str | None:
        """With what the counts of a referrer begin anew; None: never."""
        return self.rule.period if isinstance(self.rule, Tiered) else None

    @property
    def needs_order(self) -> bool:
        """Whether a referrer's conversions must be counted one after the other (locks the referrer)."""
        return isinstance(self.rule, Tiered) or self.max_rewards_per_referrer is not None

    @property
    def counts_referred(self) -> bool:
        """Whether a referred user's rewards must be counted (locks the attribution)."""
        return isinstance(self.rule, OneTime | Recurring)


@dataclass(frozen=True, slots=True)
class Code:
    """A referral code and its owner."""

    id: int
    code: str
    program_id: int
    user_id: str
    status: str
    max_uses: int | None
    uses: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Conversion:
    """What the event says. ``currency`` None stands for the program's."""

    referred_user_id: str
    amount: int | None
    currency: str | None
    converted_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What happened before: the referred user's attribution and rewards, the referrer's rewards."""

    attributed_at: datetime
    rewarded: int = 0
    first_rewarded_at: datetime | None = None
    referrer_rewards: int = 0
    known_transaction: bool = False


def refusal_of(
    program: Program, code: Code, conversion: Conversion, standing: Standing
) -> Refusal | None:
    """Why a conversion does not count, or None. Checks run from the code to the caps."""
    return (
        code_refusal(program, code, conversion.referred_user_id, conversion.converted_at)
        or _transaction_refusal(program, conversion, standing)
        or _window_refusal(program, conversion, standing)
        or cap_refusal(program, code, standing)
    )


def code_refusal(program: Program, code: Code, referred: str, at: datetime) -> Refusal | None:
    """Why a code cannot be used by ``referred`` at a time, or None. Does not look at ``max_uses``."""
    if code.status != "active":
        reason = "code_expired" if code.status == "expired" else "code_inactive"
        return Refusal(reason, f"the code {code.code} is {code.status}")
    if program.status != "active":
        return Refusal("program_inactive", f"the program is {program.status}")
    if program.starts_at is not None and at < program.starts_at:
        return Refusal(
            "program_inactive", f"the program starts at {program.starts_at:%Y-%m-%d %H:%M} UTC"
        )
    if program.ends_at is not None and at >= program.ends_at:
        return Refusal(
            "program_inactive", f"the program ended at {program.ends_at:%Y-%m-%d %H:%M} UTC"
        )
    if code.expires_at is not None and at >= code.expires_at:
        return Refusal(
            "code_expired", f"the code {code.code} expired at {code.expires_at:%Y-%m-%d %H:%M} UTC"
        )
    if code.user_id == referred:
        return Refusal("self_referral", f"{referred} owns the code {code.code}")
    return None


def available_at(program: Program, converted_at: datetime) -> datetime:
    """When the reward may be paid: the conversion's time and the program's hold."""
    return converted_at + timedelta(days=program.hold_days)


def _transaction_refusal(
    program: Program, conversion: Conversion, standing: Standing
) -> Refusal | None:
    if standing.known_transaction:
        return Refusal("duplicate_transaction", "this transaction was counted before")
    if conversion.currency is not None and conversion.currency != program.currency:
        return Refusal(
            "currency_mismatch",
            f"the transaction is in {conversion.currency.upper()}, the program pays in {program.currency.upper()}",
        )
    if conversion.amount is None:
        if needs_amount(program.rule) or program.min_amount > 0:
            return Refusal("missing_amount", "this program needs the transaction's amount")
        return None
    if conversion.amount < program.min_amount:
        return Refusal(
            "below_minimum",
            f"the transaction is below the minimum of {format_minor(program.min_amount, program.currency)}",
        )
    return None


def _window_refusal(program: Program, conversion: Conversion, standing: Standing) -> Refusal | None:
    rule, at = program.rule, conversion.converted_at
    if isinstance(rule, OneTime) and standing.rewarded:
        return Refusal("already_rewarded", "this user's first conversion was rewarded before")
    if isinstance(rule, Recurring) and standing.rewarded:
        if rule.max_payments is not None and standing.rewarded >= rule.max_payments:
            return Refusal("already_rewarded", f"all {rule.max_payments} payments were rewarded")
        if rule.duration_days is not None:
            assert standing.first_rewarded_at is not None
            if at >= standing.first_rewarded_at + timedelta(days=rule.duration_days):
                return Refusal(
                    "outside_window", f"{rule.duration_days} days since the first reward are over"
                )
        return None  # the window is for a recurring reward's first conversion only
    if program.window_days is not None:
        end = standing.attributed_at + timedelta(days=program.window_days)
        if at >= end:
            return Refusal(
                "outside_window",
                f"the window of {program.window_days} days ended at {end:%Y-%m-%d %H:%M} UTC",
            )
    return None


def cap_refusal(program: Program, code: Code, standing: Standing) -> Refusal | None:
    """Why a code, or its owner, is rewarded no more, or None."""
    if code.max_uses is not None and code.uses >= code.max_uses:
        return Refusal("code_exhausted", f"the code {code.code} was used {code.max_uses} times")
    cap = program.max_rewards_per_referrer
    if cap is not None and standing.referrer_rewards >= cap:
        return Refusal("reward_cap_reached", f"the referrer has reached {cap} rewards")
    return None
