"""Programs: the terms of one version, what a purchase earns under them, and which one a card joins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

from domain.money import MAX_AMOUNT, format_minor

MAX_BALANCE: Final = MAX_AMOUNT
"""Most points on a card: what every JSON reader holds exactly."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An expected no: a reason code for programs, a sentence for people."""

    reason: str
    sentence: str


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
    status: str = "active"
    version: int = 1

    @cached_property
    def tz(self) -> ZoneInfo:
        """The program's time zone."""
        return ZoneInfo(self.zone)


def points_for_purchase(program: Program, amount: int, currency: str | None) -> int | Refusal:
    """Points that a purchase of ``amount`` (minor units) earns, rounded down to whole points.

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
    points = amount * program.earn_points // program.earn_per_amount
    if points == 0:
        return Refusal(
            "no_points", f"{format_minor(amount, program.currency)} earn less than one point"
        )
    return points


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
