"""The thirteen transaction types, by what they do."""

from typing import Final

TRANSACTION_TYPES: Final = (
    "stamp_earned",
    "stamp_redeemed",
    "stamp_voided",
    "points_earned",
    "points_redeemed",
    "points_voided",
    "stamp_adjustment",
    "points_adjustment",
    "card_created",
    "card_deactivated",
    "card_reactivated",
    "welcome_bonus",
    "points_expired",
)

QUALIFYING_TYPES: Final = (
    "stamp_earned",
    "stamp_redeemed",
    "points_earned",
    "points_redeemed",
    "welcome_bonus",
)
"""What a program may count as activity: what a customer does, never a correction or an expiry."""

STAMP_TYPES: Final = frozenset(
    {"stamp_earned", "stamp_redeemed", "stamp_voided", "stamp_adjustment"}
)
POINTS_TYPES: Final = frozenset(
    {
        "points_earned",
        "points_redeemed",
        "points_voided",
        "points_adjustment",
        "welcome_bonus",
        "points_expired",
    }
)


def is_stamp_transaction(type_: str) -> bool:
    """Whether it changes stamps."""
    return type_ in STAMP_TYPES


def is_points_transaction(type_: str) -> bool:
    """Whether it changes points, a welcome bonus and an expiry included."""
    return type_ in POINTS_TYPES


def is_earn_transaction(type_: str) -> bool:
    """Whether a customer got something by it."""
    return type_ in ("stamp_earned", "points_earned", "welcome_bonus")


def is_redemption_transaction(type_: str) -> bool:
    """Whether a customer spent something by it."""
    return type_ in ("stamp_redeemed", "points_redeemed")


def is_void_transaction(type_: str) -> bool:
    """Whether it takes another back."""
    return type_ in ("stamp_voided", "points_voided")
