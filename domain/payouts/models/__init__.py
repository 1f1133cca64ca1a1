"""Tables of payouts, a module for each of their topics."""

from domain.payouts.models.bank import bank_file_payouts, bank_files, payee_recipients
from domain.payouts.models.payouts import (
    gateway_events,
    payees,
    payout_attempts,
    payout_exclusions,
    payout_runs,
    payouts,
)
from domain.payouts.models.stops import payout_stops

__all__ = [
    "bank_file_payouts",
    "bank_files",
    "gateway_events",
    "payee_recipients",
    "payees",
    "payout_attempts",
    "payout_exclusions",
    "payout_runs",
    "payout_stops",
    "payouts",
]
