"""What the sweeps do: ask again for what nothing happened to, and settle finished runs."""

from collections.abc import Collection
from typing import Any, Final

from domain.db import Tx
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts.rules.attempts import LOST_AFTER, re_emit_wait
from domain.payouts.rules.bank_leg import BANK
from domain.payouts.rules.progress import DELIVER_LATER, ON_ITS_WAY
from domain.payouts.store import runs as run_store
from domain.payouts.store import sending
from domain.payouts.store import sweeping as store

SWEEP_LIMIT: Final = 1_000
"""Payouts that one sweep asks for again; the next one takes the rest."""
MESSAGE_DIED: Final = "its message is a dead letter: a person decides (`payspool dead list`)"


def sweep_stuck(tx: Tx, *, limit: int = SWEEP_LIMIT) -> int:
    """Ask again for payouts whose message was lost, whose next try is due, whose sender vanished, or
    whose outcome is unknown; returns how many.

    Each is asked for at most once per backoff interval. Not called for a paused queue.
    """
    rows = store.stuck(tx, limit)
    store.emitted(tx, [(row.id, re_emit_wait(row.emit_count)) for row in rows])
    outbox.emit(tx, [_message(row) for row in rows])
    return len(rows)


def set_aside(tx: Tx, *, payout_id: int | None = None, attempt_id: int | None = None) -> None:
    """A message about this payout, or this attempt of one, is a dead letter: nobody asks again until a
    person decided about it. Asking would only make the next dead letter."""
    found = _payout_of(tx, payout_id, attempt_id)
    if found is not None:
        store.set_aside(tx, found, MESSAGE_DIED)


def take_up(tx: Tx, *, payout_ids: Collection[int] = (), attempt_ids: Collection[int] = ()) -> None:
    """A person put dead letters about these payouts, or these attempts of some, back on their queue: should
    they be lost there, the sweep asks again."""
    if payout_ids or attempt_ids:
        found = {*payout_ids, *store.payouts_of(tx, attempt_ids)}
        store.take_up(tx, found, MESSAGE_DIED, LOST_AFTER)


def ask_again(tx: Tx, payout: Any) -> bool:
    """Ask for a payout that is locked and was set aside for its dead letter; False if it was not."""
    if payout.look_at is not None or payout.parked_reason != MESSAGE_DIED:
        return False
    store.take_up(tx, [payout.id], MESSAGE_DIED, LOST_AFTER)
    [row] = store.asked_about(tx, payout.id)
    outbox.emit(tx, [_message(row)])
    return True


def settle_runs(tx: Tx) -> list[int]:
    """Settle runs all of whose payouts are paid, canceled or reversed; returns their ids."""
    return run_store.settle_runs(tx, None)


def _payout_of(tx: Tx, payout_id: int | None, attempt_id: int | None) -> int | None:
    if attempt_id is None:
        return payout_id
    row = sending.attempt(tx, attempt_id)
    return None if row is None else row.payout_id


def _message(row: Any) -> OutboxMessage:
    if row.method in DELIVER_LATER and row.state in ON_ITS_WAY:
        return OutboxMessage("payouts", "payouts.progress", {"payout_id": row.id}, row.merchant_id)
    # An attempt with a lease that ran out is unknown; one without a lease waits to be sent.
    asked_about = row.attempt_state == "unknown" or (
        row.attempt_state == "sending" and row.lease_until is not None
    )
    if asked_about:
        return OutboxMessage(
            "payouts", "payouts.resolve", {"attempt_id": row.attempt_id}, row.merchant_id
        )
    if row.leg == BANK and row.attempt_state == "succeeded":
        # Handed to a bank: only its news is missing.
        return OutboxMessage(
            "payouts", "payouts.follow", {"attempt_id": row.attempt_id}, row.merchant_id
        )
    return OutboxMessage("payouts", "payouts.send", {"payout_id": row.id}, row.merchant_id)
