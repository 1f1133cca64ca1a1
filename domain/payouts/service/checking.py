"""Totals of payouts, and what must always hold."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from domain.db import Tx
from domain.payouts.store import checks as store
from domain.payouts.store import limits, reversals, reversing

VIOLATIONS_SHOWN: Final = 20
"""How many examples of one broken invariant are listed."""

_ACCOUNT_OF_STATE: Final = {
    **dict.fromkeys(("draft", "pending_approval", "approved", "failed"), "payouts_reserved"),
    **dict.fromkeys(("sending", "unknown", "in_transit"), "payouts_in_flight"),
    **dict.fromkeys(("paid", "returned", "reversed"), "gateway_clearing"),
}
"""Where a payout's money stands in the ledger; canceled ones stand nowhere."""


@dataclass(frozen=True, slots=True)
class Total:
    """Payouts of one state and currency: how many, and their sum in minor units."""

    merchant_id: int
    state: str
    currency: str
    payouts: int
    amount: int


def summary(tx: Tx, merchant_id: int | None = None) -> list[Total]:
    """Totals by state and currency, of one merchant or of all."""
    return [
        Total(r.merchant_id, r.state, r.currency, r.payouts, int(r.amount))
        for r in store.totals(tx, merchant_id)
    ]


def accounts_in_use(tx: Tx, merchant_id: int, method: str) -> list[str]:
    """The gateway's accounts through which attempts of a merchant are on their way or unknown."""
    return store.accounts_in_use(tx, merchant_id, method)


def check_invariants(tx: Tx) -> list[str]:
    """Sentences, one for each broken invariant; empty when all hold."""
    found = [
        f"payout {r.id} ({r.state}) is {r.amount} of {r.members} earnings, {r.counted} in it sum to {r.summed}"
        for r in store.wrong_sums(tx, VIOLATIONS_SHOWN)
    ]
    found += [
        f"payout {r.payout_id} has {r.attempts} {r.leg} attempts that have paid or may have"
        for r in store.live_twice(tx, VIOLATIONS_SHOWN)
    ]
    found += [
        f"payout {r.id} is paid, but no succeeded attempt names its transaction"
        for r in store.paid_without_name(tx, VIOLATIONS_SHOWN)
    ]
    found += [
        f"payout {r.id} is {r.state}, its live attempt is {r.attempt_state or 'none'}"
        for r in store.out_of_step(tx, VIOLATIONS_SHOWN)
    ]
    found += [
        f"payout {r.id} is {r.state}, its live transfer is {r.transfer_state or 'none'}, its live bank attempt"
        f" {r.bank_state or 'none'}"
        for r in store.legs_out_of_step(tx, VIOLATIONS_SHOWN)
    ]
    found += [
        f"payout {r.id} ({r.state}) is {r.amount}, {r.reversed_amount} came back, its reversals sum to {r.summed}"
        for r in reversals.wrong_sums(tx, VIOLATIONS_SHOWN)
    ]
    found += [
        f"run {r.run_id} counts {r.amount} {r.currency}, its payouts sum to {r.summed}"
        for r in limits.drifted(tx, VIOLATIONS_SHOWN)
    ]
    found += [
        f"payout {r.payout_id}: reversal request {r.id} succeeded as {r.external_id}, which is not booked"
        for r in reversing.unbooked(tx, VIOLATIONS_SHOWN)
    ]
    return found + _ledger_differences(tx)


def _ledger_differences(tx: Tx) -> list[str]:
    expected: dict[tuple[int, str, str, str], int] = defaultdict(int)
    for row in store.standing(tx):
        kind = _ACCOUNT_OF_STATE.get(row.state)
        if row.bank_leg and row.state == "returned":
            # On the connected account, from where it goes to a bank again.
            kind = "payouts_in_flight"
        if kind:
            owner = row.method if kind == "gateway_clearing" else ""
            expected[row.merchant_id, row.currency, kind, owner] += int(row.amount - row.reversed)
    for row in reversals.undecided(tx):
        expected[row.merchant_id, row.currency, "payouts_reversed", ""] += int(row.amount)
    booked = {
        (r.merchant_id, r.currency, r.kind, r.owner): int(r.balance) for r in store.booked(tx)
    }
    return [
        f"merchant {merchant}, {currency}: the ledger holds {booked.get(key, 0)} in {kind} {owner}".rstrip()
        + f", payouts say {expected.get(key, 0)}"
        for key in sorted(booked.keys() | expected.keys())
        for merchant, currency, kind, owner in [key]
        if booked.get(key, 0) != expected.get(key, 0)
    ][:VIOLATIONS_SHOWN]
