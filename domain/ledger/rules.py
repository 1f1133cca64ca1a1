"""The chart of accounts, and a transfer as a value.

A transfer moves one amount from a debit to a credit account:

>>> from datetime import UTC, datetime
>>> owed = payable(merchant_id=1, user_id="ada", currency="usd")
>>> reward = Transfer(
...     debit=rewards_expense(1, "usd"), credit=owed, amount=1_000, kind="reward",
...     source_kind="tracking", source_id=7, occurred_at=datetime(2026, 11, 20, tzinfo=UTC),
... )
>>> balance_deltas([reward])       # the merchant now owes Ada 10.00
{Account(merchant_id=1, kind='payable', owner='ada', currency='usd'): 1000}
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

KEPT_BALANCE: Final = "payable"
"""The kind of account whose balance is kept in its row."""


class Account(NamedTuple):
    """A ledger account by its natural key. ``currency`` is ISO 4217 or ``points:<program>``."""

    merchant_id: int
    kind: str
    owner: str
    currency: str


class Transfer(NamedTuple):
    """One amount (minor units or points, positive) from ``debit`` to ``credit``."""

    debit: Account
    credit: Account
    amount: int
    kind: str
    source_kind: str
    source_id: int
    occurred_at: datetime


def payable(merchant_id: int, user_id: str, currency: str) -> Account:
    """What is owed to a user in a currency (a liability; its balance is credits minus debits)."""
    return Account(merchant_id, "payable", user_id, currency)


@lru_cache(maxsize=1_000)
def rewards_expense(merchant_id: int, currency: str) -> Account:
    """What rewards have cost the merchant."""
    return Account(merchant_id, "rewards_expense", "", currency)


def payouts_reserved(merchant_id: int, currency: str) -> Account:
    """Claimed by a payout, not sent yet."""
    return Account(merchant_id, "payouts_reserved", "", currency)


def payouts_in_flight(merchant_id: int, currency: str) -> Account:
    """Handed to a gateway, outcome not known or not final."""
    return Account(merchant_id, "payouts_in_flight", "", currency)


def gateway_clearing(merchant_id: int, method: str, currency: str) -> Account:
    """What a gateway has paid out for us: the account that reconciliation compares with its books."""
    return Account(merchant_id, "gateway_clearing", method, currency)


def payouts_reversed(merchant_id: int, currency: str) -> Account:
    """Came back from payees, and nobody has said yet what becomes of it (a liability)."""
    return Account(merchant_id, "payouts_reversed", "", currency)


def points_account(merchant_id: int, kind: str, program_key: str) -> Account:
    """A points account of a loyalty program; ``kind`` is one of POINTS_KINDS."""
    assert kind in POINTS_KINDS, kind
    return Account(merchant_id, kind, "", f"points:{program_key}")


POINTS_KINDS: Final = ("points_issued", "points_liability", "points_redeemed", "points_breakage")
"""Issued (expense), liability (what customers hold), redeemed, and breakage (expired)."""


def balance_deltas(transfers: Iterable[Transfer]) -> dict[Account, int]:
    """Change of each kept balance (credits minus debits); accounts without change are left out."""
    deltas: dict[Account, int] = {}
    for transfer in transfers:
        if transfer.credit.kind == KEPT_BALANCE:
            deltas[transfer.credit] = deltas.get(transfer.credit, 0) + transfer.amount
        if transfer.debit.kind == KEPT_BALANCE:
            deltas[transfer.debit] = deltas.get(transfer.debit, 0) - transfer.amount
    return {account: delta for account, delta in deltas.items() if delta}
