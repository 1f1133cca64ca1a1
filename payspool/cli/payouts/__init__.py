"""`payspool payouts`: one module for each part of it, all on one command."""

from payspool.cli.payouts import reversals, runs

app = runs.app

__all__ = ["app", "reversals"]
