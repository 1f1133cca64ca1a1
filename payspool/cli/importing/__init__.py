"""`payspool import`: referrals and loyalty cards out of another system's files."""

from payspool.cli.importing import cards, referrals
from payspool.cli.importing.running import app

__all__ = ["app", "cards", "referrals"]
