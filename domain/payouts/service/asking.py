"""A person has approved payouts sent now, instead of when the sweep next looks."""

from domain.db import Tx
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts.rules.attempts import LOST_AFTER
from domain.payouts.store import asking as store

SHARD = 2_000
"""Payouts that are asked for in one transaction."""


def send_now(tx: Tx, merchant_id: int, run_id: int, *, after: int) -> list[int]:
    """Ask for the sends of approved payouts of a merchant's run, by ascending id above ``after``; up to SHARD ids.

    What waits for something (a stop, money, a bank file) goes on waiting: its send says so again. What is
    on its way is left alone. Repeating it is safe.
    """
    ids = store.approved(tx, merchant_id, run_id, after=after, limit=SHARD, look=LOST_AFTER)
    outbox.emit(
        tx,
        [OutboxMessage("payouts", "payouts.send", {"payout_id": id}, merchant_id) for id in ids],
    )
    return ids
