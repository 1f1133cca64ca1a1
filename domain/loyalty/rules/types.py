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
