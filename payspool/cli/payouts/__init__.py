"""`payspool payouts`: its commands, a module for each of their topics."""

from payspool.cli.payouts import bank
from payspool.cli.payouts.runs import app

__all__ = ["app", "bank"]
