"""A gateway's balance that is too small: one refused attempt is enough, and the others wait without one.

A shortfall is of one merchant, method and currency; others go on. It ends when the balance is seen to
suffice for all that waits; until then what it is seen to suffice for is let through, no more.
"""

from dataclasses import dataclass
from typing import Any, Final

from domain.db import Tx
from domain.payouts.rules.breaker import REOPENED, Balance, probe_wait
from domain.payouts.rules.shortfall import Allow, End, Keep, Waiting, after_probe
from domain.payouts.store import shortfalls as store

PROBE_LIMIT: Final = 32
"""Shortfalls that one sweep probes; the next one takes the rest."""

WAKE_LIMIT: Final = 1_000
"""Payouts that one probe asks for where the balance does not suffice for all."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Where money is short."""

    merchant_id: int
    method: str
    currency: str


def begin(tx: Tx, payout: Any) -> None:
    """The gateway refused a payout, which is locked, because its balance is too small.

    One that begins so soon after another one ended goes on with its longer waits: the balance was seen
    to suffice, and did not (it has to bear the gateway's fees too).
    """
    key = (payout.merchant_id, payout.method, payout.currency)
    probes = store.recent_probes(tx, *key, within=REOPENED)
    store.begin(tx, *key, probes=probes, wait=probe_wait(probes))


def passes(tx: Tx, payout: Any) -> bool:
    """Whether there is money for a payout, which is locked, as far as is known; it is taken then."""
    short = store.lock(tx, payout.merchant_id, payout.method, payout.currency)
    if short is None:
        return True
    if short.available < payout.amount:
        return False
    store.allow(tx, short.id, short.available - payout.amount)
    return True


def let_pass(tx: Tx, payout: Any) -> None:
    """A person says that there is money for a payout, which is locked."""
    short = store.lock(tx, payout.merchant_id, payout.method, payout.currency)
    if short is not None:
        store.allow(tx, short.id, max(short.available, payout.amount))


def to_probe(tx: Tx) -> list[Shortfall]:
    """Where the gateway is to be asked for its balance now; each by one caller, and later next time."""
    rows = store.due(tx, PROBE_LIMIT)
    store.probe_next(tx, [(row.id, row.probes + 1, probe_wait(row.probes + 1)) for row in rows])
    return [Shortfall(row.merchant_id, row.method, row.currency) for row in rows]


def apply_balance(tx: Tx, where: Shortfall, balance: Balance) -> int:
    """Let through what the balance suffices for; returns how many payouts are asked for."""
    key = (where.merchant_id, where.method, where.currency)
    short = store.lock(tx, *key)
    if short is None:
        return 0
    row = store.waiting(tx, *key)
    waits = Waiting(row.payouts, int(row.amount), int(row.smallest), int(row.on_their_way))
    decided = after_probe(balance, where.currency, waits)
    if isinstance(decided, Keep):
        return 0
    if isinstance(decided, End):
        store.end(tx, short.id)
        return store.wake_fitting(tx, *key, amount=waits.amount, limit=waits.payouts)
    assert isinstance(decided, Allow)
    store.allow(tx, short.id, decided.amount)
    if balance.answer == "told":
        # Money flows: the next look is soon again.
        store.probe_next(tx, [(short.id, 0, probe_wait(0))])
    return store.wake_fitting(tx, *key, amount=decided.amount, limit=WAKE_LIMIT)


def money_came(tx: Tx, merchant_id: int, currency: str) -> int:
    """The gateway said that money of a currency arrived: all that waits for it may try; returns how many."""
    store.end_all(tx, merchant_id, currency)
    return store.wake_all(tx, merchant_id, currency)
