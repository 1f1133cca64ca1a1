"""Tables of payouts, a module for each of their topics."""

from domain.payouts.models.looking import ix_payout_runs_page, ix_payouts_page, ix_payouts_run
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
    "gateway_events",
    "ix_payout_runs_page",
    "ix_payouts_page",
    "ix_payouts_run",
    "payees",
    "payout_attempts",
    "payout_exclusions",
    "payout_runs",
    "payout_stops",
    "payouts",
]
