"""`payspool payouts`: one module for each part of it, all on one command."""

from payspool.cli.payouts import explaining, runs

app = runs.app

__all__ = ["app", "explaining"]
