"""`payspool payouts`: one module for each part of it, all on one command."""

from payspool.cli.payouts import (
    adjusting,
    approvals,
    bank,
    breakers,
    closing,
    explaining,
    reconciliation,
    reversals,
    runs,
    stops,
    unfreezing,
)

app = runs.app

__all__ = [
    "adjusting",
    "app",
    "approvals",
    "bank",
    "breakers",
    "closing",
    "explaining",
    "reconciliation",
    "reversals",
    "stops",
    "unfreezing",
]
