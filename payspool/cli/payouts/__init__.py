"""`payspool payouts`: one module for each part of it, all on one command."""

from payspool.cli.payouts import adjusting, closing, reconciliation, runs

app = runs.app

__all__ = ["adjusting", "app", "closing", "reconciliation"]
