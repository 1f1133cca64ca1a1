"""Tables of payouts, a module for each of their topics."""

from domain.payouts.models.adjustments import adjustments
from domain.payouts.models.bank import (
    bank_file_payouts,
    bank_files,
    debtor_accounts,
    payee_recipients,
)
from domain.payouts.models.destinations import destination_looks
from domain.payouts.models.looking import (
    ix_payout_runs_page,
    ix_payouts_page,
    ix_payouts_pair,
    ix_payouts_run,
)
from domain.payouts.models.outside import outside_payments
from domain.payouts.models.payouts import (
    gateway_events,
    payees,
    payout_attempts,
    payout_exclusions,
    payout_runs,
    payouts,
)
from domain.payouts.models.policies import payout_limits, payout_policies, payout_run_totals
from domain.payouts.models.polling import event_polls
from domain.payouts.models.reconciliation import (
    gateway_transactions,
    payout_differences,
    reconciliations,
)
from domain.payouts.models.returns import return_looks
from domain.payouts.models.reversal_requests import reversal_requests
from domain.payouts.models.reversals import payout_reversals
from domain.payouts.models.shortfalls import payout_shortfalls
from domain.payouts.models.statements import bank_statement_entries, bank_statements
from domain.payouts.models.stops import payout_stops
from domain.payouts.models.unfreezes import payout_unfreezes
from domain.payouts.models.watermark import payout_watermark

__all__ = [
    "adjustments",
    "bank_file_payouts",
    "bank_files",
    "bank_statement_entries",
    "bank_statements",
    "debtor_accounts",
    "destination_looks",
    "event_polls",
    "gateway_events",
    "gateway_transactions",
    "ix_payout_runs_page",
    "ix_payouts_page",
    "ix_payouts_pair",
    "ix_payouts_run",
    "outside_payments",
    "payee_recipients",
    "payees",
    "payout_attempts",
    "payout_differences",
    "payout_exclusions",
    "payout_limits",
    "payout_policies",
    "payout_reversals",
    "payout_run_totals",
    "payout_runs",
    "payout_shortfalls",
    "payout_stops",
    "payout_unfreezes",
    "payout_watermark",
    "payouts",
    "reconciliations",
    "return_looks",
    "reversal_requests",
]
