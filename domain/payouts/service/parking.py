"""Payouts that wait are asked for again at once when what they wait for has come."""

from domain.db import Tx
from domain.payouts.service import shortfalls
from domain.payouts.store import parking as store


def resume_parked(tx: Tx, merchant_id: int, currency: str) -> int:
    """Money of ``currency`` arrived at the gateway: its payouts that wait for it; returns how many."""
    return shortfalls.money_came(tx, merchant_id, currency)


def resume_payee(tx: Tx, merchant_id: int, account: str) -> int:
    """An account can be paid again: the payouts that it was refused; returns how many."""
    return store.resume_destination(tx, merchant_id, account)
