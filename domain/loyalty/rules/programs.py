"""Programs: the terms of one version, and which one a card joins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

from domain.loyalty.rules.policies import LotPolicy
from domain.loyalty.rules.velocity import Limit
from domain.money import MAX_AMOUNT

MAX_BALANCE: Final = MAX_AMOUNT
"""Most points on a card: what every JSON reader holds exactly."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An expected no: a reason code for programs, a sentence for people."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Multiplier:
    """Multiplies what fits all that it names; a window is of days and times in the program's zone.

    ``weekdays`` are 1 (Monday) to 7; equal times are the whole day, and a window may span midnight.
    """

    basis_points: int
    categories: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    weekdays: frozenset[int] = frozenset()
    from_time: time = time(0)
    to_time: time = time(0)
    starts: datetime | None = None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """What a card gets that earned ``threshold`` points in the program's period."""

    key: str
    threshold: int
    basis_points: int


@dataclass(frozen=True, slots=True)
class Reward:
    """An entry of the catalogue, for points or for stamps. ``cash``: what it pays, in minor units of the
    program's currency."""

    id: str
    description: str
    points: int | None = None
    stamps: int | None = None
    cash: int | None = None


@dataclass(frozen=True)
class Program:
    """A loyalty program with the terms of one version. Amounts are minor units of ``currency``."""

    id: int
    merchant_id: int
    key: str
    zone: str
    currency: str
    earn_points: int
    earn_per_amount: int
    minimum_purchase: int = 0
    welcome_bonus: int = 0
    min_redemption: int = 1
    pending_days: int = 0
    backdating_days: int = 30
    inactivity_days: int | None = None
    qualifying_types: frozenset[str] = field(
        default=frozenset({"points_earned", "points_redeemed"})
    )
    # Whether a card may owe points; else a correction takes what is there and records the rest.
    allow_debt: bool = True
    # Days that points live which a voided redemption gives back after their lot expired.
    restore_days: int = 30
    # What a thousand points cost the merchant when they are redeemed, for the books; None: not said.
    cost_per_1000_points: int | None = None
    # points, stamps, or hybrid: both.
    kind: str = "points"
    # Stamps of a full card, and what it is worth in words.
    stamp_target: int | None = None
    stamp_reward: str | None = None
    stamp_cooldown_minutes: int = 15
    stamp_daily_limit: int | None = 5
    # down, half_even or up: once for each purchase.
    rounding: str = "down"
    multipliers: tuple[Multiplier, ...] = ()
    earn_cooldown_minutes: int = 0
    daily_earn_limit: int | None = None
    daily_points_cap: int | None = None
    # How long a hold reserves points.
    hold_minutes: int = 15
    # How long before a deadline points are announced; None: never.
    notice_days: int | None = 14
    # What nobody does without a PIN of the staff: points, stamps, redemptions.
    pin_required: frozenset[str] = frozenset()
    tiers: tuple[Tier, ...] = ()
    tier_days: int = 365
    rewards: tuple[Reward, ...] = ()
    # Deadlines of lots; the earliest counts.
    expiration: tuple[LotPolicy, ...] = ()
    status: str = "active"
    version: int = 1
    # The version that brought its tiers, and since when they hold; None: from the start.
    tiers_version: int = 1
    tiers_at: datetime | None = None
    # Its own policy of how fast cards may earn and redeem, else its merchant's: what it counts under; None: none.
    velocity_policy_id: int | None = None
    velocity_limits: tuple[Limit, ...] = ()

    @cached_property
    def tz(self) -> ZoneInfo:
        """The program's time zone."""
        return ZoneInfo(self.zone)

    @property
    def points_end(self) -> bool:
        """Whether its points can expire."""
        return self.inactivity_days is not None or bool(self.expiration)

    @property
    def expires(self) -> bool:
        """Whether its points can expire, or its tiers end, so that a sweep is due."""
        return self.points_end or bool(self.tiers)

    @property
    def limits_earning(self) -> bool:
        """Whether an earn depends on those before it."""
        return bool(
            self.earn_cooldown_minutes
            or self.daily_earn_limit is not None
            or self.daily_points_cap is not None
        )

    def lacks(self, kind: str) -> Refusal | None:
        """The refusal of points in a program of stamps, or of stamps in one of points, else None."""
        if self.kind in (kind, "hybrid"):
            return None
        return Refusal(f"program_without_{kind}", f"program {self.key} counts {self.kind} only")

    def reward(self, reward_id: str | None) -> Reward | None:
        """The entry of the catalogue, if there is one."""
        return next((r for r in self.rewards if r.id == reward_id), None)


def choose_program(programs: Sequence[Program], key: str | None) -> Program | Refusal:
    """The program that a new card joins: the one named, else the merchant's only active one."""
    if key is not None:
        named = next((p for p in programs if p.key == key), None)
        if named is None:
            return Refusal("program_unknown", f"this merchant has no loyalty program {key!r}")
        return inactive(named) or named
    active = [p for p in programs if p.status == "active"]
    if not active:
        return Refusal("program_unknown", "this merchant has no active loyalty program")
    if len(active) > 1:
        return Refusal(
            "program_ambiguous",
            f"this merchant has {len(active)} active loyalty programs; name one in `program`",
        )
    return active[0]


def inactive(program: Program) -> Refusal | None:
    """The refusal of a program that is paused or ended, else None."""
    if program.status == "active":
        return None
    return Refusal("program_inactive", f"program {program.key} is {program.status}")
