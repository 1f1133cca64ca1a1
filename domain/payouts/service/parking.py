"""Payouts that wait are asked for again at once when what they wait for has come."""

from collections.abc import Collection, Mapping

from domain.db import Tx
from domain.payouts.service import shortfalls
from domain.payouts.store import bank_leg
from domain.payouts.store import parking as store


def resume_parked(tx: Tx, merchant_id: int, currency: str) -> int:
    """Money of ``currency`` arrived at the gateway: its payouts that wait for it; returns how many."""
    return shortfalls.money_came(tx, merchant_id, currency)


def resume_payee(tx: Tx, merchant_id: int, account: str) -> int:
    """An account can be paid again: the payouts that it was refused; returns how many."""
    return store.resume_destination(tx, merchant_id, account)


def bank_waits(tx: Tx, merchant_id: int, account: str) -> bool:
    """Whether money of a payout waits on a connected account for its way to the bank."""
    return bank_leg.waits_for_account(tx, merchant_id, account)


def resume_bank_funds(tx: Tx, merchant_id: int, account: str, currencies: Collection[str]) -> int:
    """Money of these currencies is available on a connected account: what waits there for it."""
    return bank_leg.resume_funds(tx, merchant_id, account, sorted(currencies))


def resume_bank_account(tx: Tx, merchant_id: int, account: str, banks: Mapping[str, str]) -> int:
    """A connected account can pay out, to ``banks`` by currency: what waits there for that, and what
    another bank account returned; returns how many."""
    return bank_leg.resume_account(tx, merchant_id, account, banks)
