"""Use cases of loyalty: apply events, expire for inactivity, keep programs, and check the books."""

from domain.loyalty.service.apply import TYPES, Applied, apply
from domain.loyalty.service.batch import (
    Done,
    LoyaltyEvent,
    Outcome,
    Waits,
    correlation_of,
    refused_under,
)
from domain.loyalty.service.cards import CardView, card, transactions_of
from domain.loyalty.service.expiry import (
    ExpiryRange,
    ExpiryResult,
    WouldExpire,
    dry_run,
    expire_range,
    plan_expiry,
)
from domain.loyalty.service.programs import change_program, create_program, set_status, terms_of
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
    "Waits",
    "WouldExpire",
    "apply",
    "card",
    "change_program",
    "check_invariants",
    "correlation_of",
    "create_program",
    "dry_run",
    "expire_range",
    "plan_expiry",
    "refused_under",
    "set_status",
    "summary",
    "terms_of",
    "transactions_of",
]
