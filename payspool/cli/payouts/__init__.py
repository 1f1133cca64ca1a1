"""`payspool payouts`: one module for each part of it, all on one command."""

from payspool.cli.payouts import (
    adjusting,
    approvals,
    bank,
    blocking,
    breakers,
    closing,
    explaining,
    outside,
    policies,
    polling,
    rearming,
    reconciliation,
    returns,
    reversals,
    reversing,
    runs,
    sending,
    statements,
    stops,
    unfreezing,
)

app = runs.app

__all__ = [
    "adjusting",
    "app",
    "approvals",
    "bank",
    "blocking",
    "breakers",
    "closing",
    "explaining",
    "outside",
    "policies",
    "polling",
    "rearming",
    "reconciliation",
    "returns",
    "reversals",
    "reversing",
    "sending",
    "statements",
    "stops",
    "unfreezing",
]
