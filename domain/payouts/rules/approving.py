"""What a merchant's policy says: when a person has to approve a run, and what is never paid.

>>> policy = Policy("above_limits", limits={"usd": Limits(auto_payout=1_000, auto_run=5_000)})
>>> needs_approval(policy, {"usd": Made(largest=1_000, total=4_000)})
False
>>> needs_approval(policy, {"usd": Made(largest=1_001, total=4_000)})
True
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

Approval = Literal["never", "above_limits", "always"]

APPROVAL_HOURS: Final = 72
"""How long a run can be approved, where a merchant says nothing else."""

AUTOMATIC: Final = "automatic"
"""Who approves what needs no person; no person can act under this name."""


MAX_NAME: Final = 255
"""Longest name of who prepared, approved or rejected a run (as the columns)."""


def signature(name: str) -> str:
    """A name as a run keeps it: who prepared it and who approves it are compared as they are kept.

    >>> len(signature("x" * 300))
    255
    """
    return name[:MAX_NAME]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one currency, in its minor units; None: any amount.

    ``auto_payout`` and ``auto_run``: up to where no person is needed. ``minimum``: the smallest payout.
    The others are never exceeded, whoever approves (rules/limits.py): by a payout, by a payee or the
    merchant in a day of business time (UTC), by a run. ``adjust_alone`` is of no run: what one person
    adjusts within a week without a second one (rules/adjusting.py).
    """

    auto_payout: int | None = None
    auto_run: int | None = None
    minimum: int | None = None
    max_payout: int | None = None
    max_payee_day: int | None = None
    max_day: int | None = None
    max_run: int | None = None
    adjust_alone: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """When a merchant's runs need a person, how long they can be approved, and how long a destination
    that is new or has changed is paid nothing."""

    approval: Approval
    approval_hours: int = APPROVAL_HOURS
    limits: Mapping[str, Limits] = field(default_factory=dict)
    cooling_off_hours: int = 0
    bank_leg: bool = False
    """Whether its payouts by Stripe go on from the connected account to the bank."""

    def known_before(self, as_of: datetime) -> datetime | None:
        """Since when a destination has to be known to be paid as of a time; None: no matter since when."""
        return as_of - timedelta(hours=self.cooling_off_hours) if self.cooling_off_hours else None

    def minimum(self, currency: str, asked: int) -> int:
        """The smallest payout, in minor units: the policy's, or what a schedule or a person asked for if
        that is more. Less would be to change the policy without saying so.

        >>> Policy("never", limits={"usd": Limits(minimum=500)}).minimum("usd", 100)
        500
        """
        limits = self.limits.get(currency)
        return max(asked, (limits.minimum if limits else None) or 0)

    def as_json(self) -> dict[str, Any]:
        """As a run keeps it."""
        return {
            "approval": self.approval,
            "approval_hours": self.approval_hours,
            "cooling_off_hours": self.cooling_off_hours,
            "bank_leg": self.bank_leg,
            "limits": {currency: asdict(limits) for currency, limits in self.limits.items()},
        }


def policy_from(kept: Mapping[str, Any]) -> Policy:
    """A policy as a run keeps it; runs of before there were policies needed nobody.

    >>> policy_from(Policy("always").as_json()) == Policy("always")
    True
    """
    limits = {currency: Limits(**each) for currency, each in kept.get("limits", {}).items()}
    return Policy(
        kept.get("approval", "never"),
        kept.get("approval_hours", APPROVAL_HOURS),
        limits,
        kept.get("cooling_off_hours", 0),
        kept.get("bank_leg", False),
    )


def default_policy(mode: str) -> Policy:
    """What holds where a merchant has set nothing: live money is always approved, and cools off a day."""
    return Policy("never") if mode == "test" else Policy("always", cooling_off_hours=24)


@dataclass(frozen=True, slots=True)
class Made:
    """What a run pays in one currency: its largest payout and the sum, in minor units."""

    largest: int
    total: int


def needs_approval(policy: Policy, made: Mapping[str, Made]) -> bool:
    """Whether a person has to approve a run that pays ``made``, by currency.

    Above limits, a currency without any limit needs one too: nobody has said what is little in it.
    """
    if policy.approval != "above_limits":
        return policy.approval == "always" and bool(made)
    return any(_exceeds(policy.limits.get(currency), each) for currency, each in made.items())


def _exceeds(limits: Limits | None, made: Made) -> bool:
    if limits is None or (limits.auto_payout is None and limits.auto_run is None):
        return True
    return (limits.auto_payout is not None and made.largest > limits.auto_payout) or (
        limits.auto_run is not None and made.total > limits.auto_run
    )
