"""The reason that an operator gives: kept in a card's history and the audit trail."""

from typing import Final

from domain.errors import Invalid

REASON_MAX: Final = 500
"""Longest reason, as the columns that keep it."""


def checked_reason(reason: str) -> str:
    """``reason`` without blanks around it. Raises Invalid where there is none, or it is too long."""
    said = reason.strip()
    if not said or len(said) > REASON_MAX or "\x00" in said:
        raise Invalid("reason", f"say why, in 1 to {REASON_MAX} characters")
    return said
