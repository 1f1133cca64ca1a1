"""Tables of payouts, a module for each of their topics."""

from domain.payouts.models.adjustments import adjustments
from domain.payouts.models.bank import bank_file_payouts, bank_files, payee_recipients
from domain.payouts.models.looking import ix_payout_runs_page, ix_payouts_page, ix_payouts_run
from domain.payouts.models.payouts import (
    gateway_events,
    payees,
    payout_attempts,
    payout_exclusions,
    payout_runs,
    payouts,
)
from domain.payouts.models.policies import payout_limits, payout_policies
from domain.payouts.models.reconciliation import (
    gateway_transactions,
    payout_differences,
    reconciliations,
)
from domain.payouts.models.reversals import payout_reversals
from domain.payouts.models.shortfalls import payout_shortfalls
from domain.payouts.models.stops import payout_stops
from domain.payouts.models.unfreezes import payout_unfreezes

__all__ = [
    "adjustments",
    "bank_file_payouts",
    "bank_files",
    "gateway_events",
    "gateway_transactions",
    "ix_payout_runs_page",
    "ix_payouts_page",
    "ix_payouts_run",
    "payee_recipients",
    "payees",
    "payout_attempts",
    "payout_differences",
    "payout_exclusions",
    "payout_limits",
    "payout_policies",
    "payout_reversals",
    "payout_runs",
    "payout_shortfalls",
    "payout_stops",
    "payout_unfreezes",
    "payouts",
    "reconciliations",
]
