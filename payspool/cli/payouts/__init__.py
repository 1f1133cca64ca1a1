"""`payspool payouts`: one module for each part of it, all on one command."""

from payspool.cli.payouts import approvals, reversals, runs, stops

app = runs.app

__all__ = ["app", "approvals", "reversals", "stops"]
