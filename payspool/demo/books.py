"""What the demo reads to tell what happened, and to check it against the sandbox's own books."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from domain.db import Tx
from domain.inbox import service as inbox
from domain.loyalty import service as loyalty
from domain.money import format_minor
from domain.payouts import service as payouts
from sandbox.books import Books
from workers.sweeps import broken_invariants


@dataclass(slots=True)
class Summary:
    """What happened, in money terms. Amounts in minor units by currency."""

    applied: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    earned: dict[str, int] = field(default_factory=dict)
    reversed: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    payouts: dict[str, int] = field(default_factory=dict)
    carried_over: dict[str, int] = field(default_factory=dict)
    points: list[Any] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def events(self) -> int:
        """Events that have a row in the inbox."""
        return self.applied + self.waiting + sum(self.rejected.values())


def read(tx: Tx, merchant_id: int, sandbox_data: Path) -> Summary:
    """Read everything from one snapshot, and compare with what the sandbox says that it paid."""
    summary = Summary()
    for row in inbox.counts(tx, merchant_id):
        if row.status == "applied":
            summary.applied += row.events
        elif row.status == "rejected":
            summary.rejected[row.reason] = summary.rejected.get(row.reason, 0) + row.events
        elif row.status == "waiting":
            summary.waiting += row.events
        else:
            summary.problems.append(
                f"{row.events} events of type {row.type} are dead: {row.reason}"
            )
    for row in tx.execute(text(_EARNED), {"merchant_id": merchant_id}):
        summary.earned[row.currency] = row.earned
        summary.reversed[row.currency] = row.reversed
        summary.carried_over[row.currency] = row.unclaimed
    for total in payouts.summary(tx, merchant_id):
        summary.payouts[total.state] = summary.payouts.get(total.state, 0) + total.payouts
        if total.state == "paid":
            summary.paid[total.currency] = summary.paid.get(total.currency, 0) + total.amount
        elif total.state != "canceled":
            amount = format_minor(total.amount, total.currency)
            summary.problems.append(
                f"{total.payouts} payouts of {amount} are {total.state}, not paid"
            )
    summary.points = list(loyalty.summary(tx, merchant_id))
    summary.problems += broken_invariants(tx)
    summary.problems += _against_the_sandbox(tx, merchant_id, sandbox_data)
    return summary


_EARNED = """
    SELECT currency, coalesce(sum(amount) FILTER (WHERE amount > 0), 0)::bigint AS earned,
           coalesce(-sum(amount) FILTER (WHERE amount < 0), 0)::bigint AS reversed,
           coalesce(sum(amount) FILTER (WHERE payout_id IS NULL AND voided_at IS NULL), 0)::bigint AS unclaimed
    FROM earnings WHERE merchant_id = :merchant_id GROUP BY currency ORDER BY currency
"""
_PAID = """
    SELECT id, amount, currency, destination, external_transaction_id FROM payouts
    WHERE merchant_id = :merchant_id AND state = 'paid'
"""


def _against_the_sandbox(tx: Tx, merchant_id: int, data: Path) -> list[str]:
    """Differences, to the cent, between what we hold as paid and what the sandbox really paid."""
    ours = {row.id: row for row in tx.execute(text(_PAID), {"merchant_id": merchant_id})}
    problems: list[str] = []
    with Books(data) as books:
        problems += [f"sandbox: {sentence}" for sentence in books.check()]
        there: dict[int, list[Any]] = {}
        for transfer in books.transfers():
            if transfer.metadata.get("merchant") == str(merchant_id) and transfer.net:
                there.setdefault(int(transfer.metadata["payout"]), []).append(transfer)
    for payout_id in sorted(set(ours) | set(there)):
        row, transfers = ours.get(payout_id), there.get(payout_id, [])
        if row is None:
            problems.append(f"payout {payout_id}: paid by the sandbox, not by our books")
        elif len(transfers) != 1:
            problems.append(
                f"payout {payout_id}: {len(transfers)} transfers in the sandbox instead of 1"
            )
        elif (
            transfers[0].net,
            transfers[0].currency,
            transfers[0].destination,
            transfers[0].id,
        ) != (
            row.amount,
            row.currency,
            row.destination,
            row.external_transaction_id,
        ):
            problems.append(
                f"payout {payout_id}: ours {format_minor(row.amount, row.currency)} to {row.destination},"
                f" the sandbox's {format_minor(transfers[0].net, transfers[0].currency)} to {transfers[0].destination}"
            )
    return problems
