"""What a line of an imported file means: programs, codes, and conversions of the past.

>>> row = {"transaction_id": "old-1", "code": "ADA-01", "referred_user_id": "ben", "amount": "12900",
...        "currency": "EUR", "converted_at": "2025-03-01T10:00:00Z", "amount_earned": "1290",
...        "paid_reference": "bank 2025-04"}
>>> past = read_conversion(row)
>>> past.amount_earned, past.currency, past.paid_reference
(1290, 'eur', 'bank 2025-04')
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.errors import Invalid
from domain.fields import Row, optional, text, time, up_to, whole

PROGRAM_COLUMNS: Final = (
    "key",
    "name",
    "rule",
    "currency",
    "referee_rule",
    "hold_days",
    "window_days",
    "max_rewards_per_referrer",
    "min_amount",
    "payout_method",
    "starts_at",
    "ends_at",
    "codes_per_user",
)
CODE_COLUMNS: Final = ("code", "program", "user_id", "max_uses", "expires_at", "email_hash")
CONVERSION_COLUMNS: Final = (
    "transaction_id",
    "code",
    "referred_user_id",
    "converted_at",
    "amount",
    "currency",
    "amount_earned",
    "referee_amount_earned",
    "paid_reference",
)
"""The columns of each file; those that are not required may be left out, and so may their values."""
YEAR_MIN: Final = 1970
"""The first year of ``converted_at``, as of events: one before it is a slip."""
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PastConversion:
    """A conversion that another system counted; amounts in minor units of ``currency``.

    ``paid_reference``: how its rewards were paid then; None: they are still owed.
    """

    transaction_id: str
    code: str
    referred_user_id: str
    converted_at: datetime
    amount: int | None
    currency: str
    amount_earned: int
    referee_amount_earned: int
    paid_reference: str | None


def read_program(row: Row) -> dict[str, Any]:
    """A program's key, name and terms. Raises Invalid, naming the column."""
    return {
        "key": text(row, "key", 100),
        "name": optional(row, "name", up_to(255)) or text(row, "key", 100),
        "rule": _object(text(row, "rule", 10_000), "rule"),
        "currency": text(row, "currency", 3).lower(),
        "referee_rule": optional(row, "referee_rule", _object),
        "hold_days": optional(row, "hold_days", whole) or 0,
        "window_days": optional(row, "window_days", whole),
        "max_rewards_per_referrer": optional(row, "max_rewards_per_referrer", whole),
        "min_amount": optional(row, "min_amount", whole) or 0,
        "payout_method": optional(row, "payout_method", up_to(20)),
        "starts_at": optional(row, "starts_at", time),
        "ends_at": optional(row, "ends_at", time),
        "codes_per_user": optional(row, "codes_per_user", whole),
    }


def read_code(row: Row) -> dict[str, Any]:
    """A code's program and fields. Raises Invalid, naming the column."""
    return {
        "code": text(row, "code", 20),
        "program": text(row, "program", 100),
        "user_id": text(row, "user_id", 100),
        "max_uses": optional(row, "max_uses", whole),
        "expires_at": optional(row, "expires_at", time),
        "email_hash": optional(row, "email_hash", _hash),
    }


def read_conversion(row: Row) -> PastConversion:
    """A conversion of the past. Raises Invalid, naming the column."""
    converted_at = time(text(row, "converted_at", 40), "converted_at")
    if converted_at.year < YEAR_MIN:
        raise Invalid("converted_at", f"is a time since {YEAR_MIN}")
    return PastConversion(
        text(row, "transaction_id", 255),
        text(row, "code", 20),
        text(row, "referred_user_id", 100),
        converted_at,
        optional(row, "amount", whole),
        text(row, "currency", 3).lower(),
        whole(text(row, "amount_earned", 16), "amount_earned"),
        optional(row, "referee_amount_earned", whole) or 0,
        optional(row, "paid_reference", up_to(255)),
    )


def _hash(value: str, name: str) -> str:
    if not _HASH.fullmatch(value):
        raise Invalid(
            name, "is 64 lower-case hexadecimal digits, as payspool_client.email_hash gives"
        )
    return value


def _object(value: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid(name, "is a JSON object")
    return found
