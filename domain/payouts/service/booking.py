"""How payouts move in the ledger: payable → reserved → in flight → the gateway's clearing account."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.db import Tx
from domain.ledger import service as ledger
from domain.ledger.rules import (
    Account,
    Transfer,
    gateway_clearing,
    payable,
    payouts_in_flight,
    payouts_reserved,
    payouts_reversed,
    rewards_expense,
)
from domain.payouts.rules.outside import PLATFORM
from domain.payouts.store.runs import NewPayout


def reserve(tx: Tx, payouts: Iterable[tuple[int, NewPayout]], at: datetime) -> None:
    """Claimed: from what is owed to each payee to what is reserved, one transfer a payout."""
    ledger.post(
        tx,
        [
            Transfer(
                debit=payable(p.merchant_id, p.user_id, p.currency),
                credit=payouts_reserved(p.merchant_id, p.currency),
                amount=p.amount,
                kind="payout_reserved",
                source_kind="payout",
                source_id=payout_id,
                occurred_at=at,
            )
            for payout_id, p in payouts
        ],
    )


def release(tx: Tx, payout: Any, at: datetime) -> None:
    """Canceled: back to what is owed."""
    release_all(tx, [payout], at)


def release_all(tx: Tx, payouts: Iterable[Any], at: datetime) -> None:
    """Canceled: back to what is owed, one transfer a payout."""
    ledger.post(
        tx,
        [
            Transfer(
                debit=_reserved(payout),
                credit=payable(payout.merchant_id, payout.user_id, payout.currency),
                amount=payout.amount,
                kind="payout_released",
                source_kind="payout",
                source_id=payout.id,
                occurred_at=at,
            )
            for payout in payouts
        ],
    )


def send(tx: Tx, payout: Any, attempt_id: int, at: datetime) -> None:
    """Handed to the gateway."""
    source = ("payout_attempt", attempt_id)
    _book(tx, payout, "payout_sent", source, _reserved(payout), _in_flight(payout), at)


def fail(tx: Tx, payout: Any, attempt_id: int, at: datetime) -> None:
    """Refused, or turned away for good: reserved again."""
    source = ("payout_attempt", attempt_id)
    _book(tx, payout, "payout_failed", source, _in_flight(payout), _reserved(payout), at)


def pay(tx: Tx, payout: Any, attempt_id: int, at: datetime) -> None:
    """Paid: what the gateway's books must show."""
    clearing = gateway_clearing(payout.merchant_id, payout.method, payout.currency)
    source = ("payout_attempt", attempt_id)
    _book(tx, payout, "payout_paid", source, _in_flight(payout), clearing, at)


def pay_outside(tx: Tx, payout: Any, attempt_id: int, at: datetime) -> None:
    """Paid outside: no gateway's books show it."""
    clearing = gateway_clearing(payout.merchant_id, PLATFORM, payout.currency)
    source = ("payout_attempt", attempt_id)
    _book(tx, payout, "payout_paid", source, _in_flight(payout), clearing, at)


def reach_bank(tx: Tx, payout: Any, attempt_id: int, at: datetime) -> None:
    """The second leg of a payout has reached the bank: what did not come back of it is paid now."""
    clearing = gateway_clearing(payout.merchant_id, payout.method, payout.currency)
    source = ("payout_attempt", attempt_id)
    arrived = payout.amount - payout.reversed_amount
    _book(tx, payout, "payout_paid", source, _in_flight(payout), clearing, at, arrived)


def leave_bank(tx: Tx, payout: Any, attempt_id: int, at: datetime) -> None:
    """The bank gave back what it had: it is on the connected account, and in flight again."""
    clearing = gateway_clearing(payout.merchant_id, payout.method, payout.currency)
    source = ("payout_attempt", attempt_id)
    left = payout.amount - payout.reversed_amount
    _book(tx, payout, "payout_returned", source, clearing, _in_flight(payout), at, left)


def come_back(tx: Tx, payout: Any, reversal_id: int, amount: int, at: datetime) -> None:
    """Reversed at the gateway: its books show so much less; a person says what becomes of it.

    ``payout`` as it was before: what goes on to a bank, and has not reached it, was in flight.
    """
    clearing = gateway_clearing(payout.merchant_id, payout.method, payout.currency)
    stood = _in_flight(payout) if payout.bank_leg and payout.state != "paid" else clearing
    source = ("payout_reversal", reversal_id)
    _book(tx, payout, "payout_reversed", source, stood, _reversed(payout), at, amount)


def let_go(tx: Tx, payout: Any, at: datetime) -> None:
    """It came back whole: what it was made of is owed again."""
    owed = payable(payout.merchant_id, payout.user_id, payout.currency)
    source = ("payout", payout.id)
    _book(tx, payout, "payout_reversal_released", source, _reversed(payout), owed, at)


def keep(tx: Tx, payout: Any, reversal_id: int, amount: int, at: datetime) -> None:
    """What came back is the merchant's: it cost so much less."""
    expense = rewards_expense(payout.merchant_id, payout.currency)
    source = ("payout_reversal", reversal_id)
    _book(tx, payout, "payout_reversal_kept", source, _reversed(payout), expense, at, amount)


def _reversed(payout: Any) -> Account:
    return payouts_reversed(payout.merchant_id, payout.currency)


def _reserved(payout: Any) -> Account:
    return payouts_reserved(payout.merchant_id, payout.currency)


def _in_flight(payout: Any) -> Account:
    return payouts_in_flight(payout.merchant_id, payout.currency)


def _book(
    tx: Tx,
    payout: Any,
    kind: str,
    source: tuple[str, int],
    debit: Account,
    credit: Account,
    at: datetime,
    amount: int | None = None,
) -> None:
    moved = Transfer(debit, credit, amount or payout.amount, kind, source[0], source[1], at)
    ledger.post(tx, [moved])
