"""Use cases of loyalty: apply events, expire for inactivity, keep programs, and check the books."""

from domain.loyalty.service.apply import TYPES, Applied, Done, LoyaltyEvent, Outcome, apply
from domain.loyalty.service.cards import CardView, card, transactions_of
from domain.loyalty.service.expiry import (
    ExpiryRange,
    ExpiryResult,
    WouldExpire,
    dry_run,
    expire_range,
    plan_expiry,
)
from domain.loyalty.service.programs import create_program
from domain.loyalty.service.reports import ProgramSummary, check_invariants, summary

__all__ = [
    "TYPES",
    "Applied",
    "CardView",
    "Done",
    "ExpiryRange",
    "ExpiryResult",
    "LoyaltyEvent",
    "Outcome",
    "ProgramSummary",
    "WouldExpire",
    "apply",
    "card",
    "check_invariants",
    "create_program",
    "dry_run",
    "expire_range",
    "plan_expiry",
    "summary",
    "transactions_of",
]
