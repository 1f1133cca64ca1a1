"""Who is paid, and how."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from domain.db import Tx
from domain.errors import Forbidden, NotFound
from domain.payouts.rules import PayeeView
from domain.payouts.store import payees as store
from domain.payouts.store import runs
from domain.payouts.store.payees import PayeeUpdate


class PayeeEvent(Protocol):
    """A `payee.updated` event as the inbox hands it over."""

    merchant_id: int
    time: datetime
    data: Any


def apply_payees(tx: Tx, events: Sequence[PayeeEvent]) -> list[bool]:
    """Apply `payee.updated` events; tells for each whether it is what now holds.

    An event is the whole of how a user is paid: without an account the payee is not ready.
    """
    return put_payees(
        tx,
        [
            PayeeUpdate(
                event.merchant_id,
                event.data.user_id,
                event.data.method,
                event.time,
                event.data.account,
                event.data.name,
            )
            for event in events
        ],
    )


def put_payees(tx: Tx, updates: Sequence[PayeeUpdate]) -> list[bool]:
    """Make or change payees; tells for each update whether it is what now holds.

    The newest ``as_of`` wins, in whatever order they arrive; of equal ones, the later in the list. An
    absent name keeps the one that is known.
    """
    if not updates:
        return []
    newest: dict[tuple[int, str], PayeeUpdate] = {}
    for update in updates:
        key = (update.merchant_id, update.user_id)
        if key not in newest or newest[key].as_of <= update.as_of:
            newest[key] = update
    changed = store.put(tx, list(newest.values()))
    return [
        newest[key] is update and key in changed
        for update in updates
        for key in [(update.merchant_id, update.user_id)]
    ]


def find_payee(tx: Tx, merchant_id: int, user_id: str) -> PayeeView | None:
    """How a user is paid, or None before anybody said it."""
    return runs.payees_of(tx, merchant_id, [user_id]).get(user_id)


def block_payee(tx: Tx, merchant_id: int, user_id: str, reason: str | None) -> None:
    """Stop paying a user, with the reason, or (None) pay them again.

    Raises NotFound, and Forbidden while the gateway's books show that this installation paid them and nothing
    here says for what: the next run would pay it once more, whoever lifts the block.
    """
    transfer = store.unexplained_transfer(tx, merchant_id, user_id) if reason is None else None
    if transfer is not None:
        raise Forbidden(
            f"The gateway's books show {transfer}, which paid {user_id} for a payout that was forgotten or canceled."
            " Adjust what they are owed, and resolve that difference; then unblock them."
        )
    if not store.block(tx, merchant_id, user_id, reason):
        raise NotFound("payee", user_id, "It appears with its first `payee.updated` event.")
