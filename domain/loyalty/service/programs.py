"""Use cases of loyalty programs: create one, with its first version."""

import re
from collections.abc import Collection
from typing import Final
from zoneinfo import ZoneInfo

from domain.db import Tx
from domain.errors import AlreadyExists, Invalid
from domain.loyalty.rules import QUALIFYING_TYPES, Program
from domain.loyalty.store import programs as store
from domain.money import MAX_AMOUNT, is_currency

KEY_MAX: Final = 100
NAME_MAX: Final = 255
MAX_EARN_POINTS: Final = 1_000_000
"""Most points for one `earn_per_amount`."""
MAX_DAYS: Final = 3_660
"""Longest pending, backdating or inactivity period: ten years."""
MAX_PROGRAMS: Final = 100
"""Most programs of a merchant: every batch reads them all."""

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]*")


def create_program(
    tx: Tx,
    merchant_id: int,
    key: str,
    *,
    name: str,
    currency: str,
    zone: str = "UTC",
    earn_points: int = 1,
    earn_per_amount: int = 100,
    minimum_purchase: int = 0,
    welcome_bonus: int = 0,
    min_redemption: int = 1,
    pending_days: int = 0,
    backdating_days: int = 30,
    inactivity_days: int | None = None,
    qualifying_types: Collection[str] = ("points_earned", "points_redeemed"),
    allow_debt: bool = True,
    restore_days: int = 30,
) -> Program:
    """Create an active program with its first version.

    A purchase earns ``earn_points`` for each ``earn_per_amount`` minor units of ``currency``, in
    proportion and rounded down. ``inactivity_days`` None: points never expire. ``zone`` is an IANA name.
    Raises Invalid (naming the field) and AlreadyExists.
    """
    _check_names(key, name, zone, currency)
    _check_range("earn_points", earn_points, 0, MAX_EARN_POINTS)
    _check_range("earn_per_amount", earn_per_amount, 1, MAX_AMOUNT)
    _check_range("minimum_purchase", minimum_purchase, 0, MAX_AMOUNT)
    _check_range("welcome_bonus", welcome_bonus, 0, MAX_EARN_POINTS)
    _check_range("min_redemption", min_redemption, 1, MAX_AMOUNT)
    _check_range("pending_days", pending_days, 0, MAX_DAYS)
    _check_range("backdating_days", backdating_days, 0, MAX_DAYS)
    _check_range("restore_days", restore_days, 1, MAX_DAYS)
    if inactivity_days is not None:
        _check_range("inactivity_days", inactivity_days, 1, MAX_DAYS)
    unknown = sorted(set(qualifying_types) - set(QUALIFYING_TYPES))
    if unknown:
        raise Invalid(
            "qualifying_types",
            f"{', '.join(unknown)} cannot count as activity; choose among {', '.join(QUALIFYING_TYPES)}",
        )
    if inactivity_days is not None and not qualifying_types:
        raise Invalid("qualifying_types", "with an inactivity policy, name at least one")
    existing = store.of_merchants(tx, [merchant_id])
    if len(existing) >= MAX_PROGRAMS:
        raise Invalid("key", f"a merchant has at most {MAX_PROGRAMS} loyalty programs")
    terms = {
        "earn_points": earn_points,
        "earn_per_amount": earn_per_amount,
        "currency": currency,
        "minimum_purchase": minimum_purchase,
        "welcome_bonus": welcome_bonus,
        "min_redemption": min_redemption,
        "pending_days": pending_days,
        "backdating_days": backdating_days,
        "inactivity_days": inactivity_days,
        "qualifying_types": sorted(set(qualifying_types)),
        "allow_debt": allow_debt,
        "restore_days": restore_days,
    }
    program_id = store.insert(tx, merchant_id, key, name, zone, terms)
    if program_id is None:
        raise AlreadyExists("loyalty program", key, "Give another key.")
    return next(p for p in store.of_merchants(tx, [merchant_id]) if p.id == program_id)


def _check_names(key: str, name: str, zone: str, currency: str) -> None:
    if len(key) > KEY_MAX or _KEY.fullmatch(key) is None:
        raise Invalid(
            "key", f"use 1 to {KEY_MAX} of a-z, 0-9, '_' and '-', starting with a letter or digit"
        )
    if not name.strip() or len(name) > NAME_MAX:
        raise Invalid("name", f"use 1 to {NAME_MAX} characters")
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError) as error:  # unknown, a folder, or no name at all
        raise Invalid("zone", f"{zone!r} is not an IANA time zone such as Europe/Berlin") from error
    if not is_currency(currency):
        raise Invalid("currency", f"{currency!r} is not a lower-case ISO 4217 code such as eur")


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Invalid(field, f"give a whole number from {least} to {most}")
