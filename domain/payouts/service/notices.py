"""What a gateway told us is applied, once: after the gateway was asked how things are now."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.db import Tx
from domain.outbox import service as outbox
from domain.payouts.errors import NoSuchPayout
from domain.payouts.gateway import PayeeCheck
from domain.payouts.rules.notices import look_wait
from domain.payouts.service import parking
from domain.payouts.store import notices as store
from domain.payouts.store import payees
from domain.payouts.webhooks import apply_message

SWEEP_LIMIT: Final = 1_000
"""Notices that one sweep asks for again; the next one takes the rest."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that waits to be applied. ``asked_at`` is real time, before the gateway is asked."""

    id: int
    merchant_id: int
    method: str
    type: str
    account: str | None
    payload: dict[str, Any]
    asked_at: datetime


def open_notice(tx: Tx, notice_id: int) -> Notice | None:
    """A notice to apply; None if something was made of it already. Raises NoSuchPayout."""
    row = store.read(tx, notice_id)
    if row is None:
        raise NoSuchPayout("gateway event", notice_id)
    if row.state not in ("received", "failed"):
        return None
    return Notice(
        row.id, row.merchant_id, row.method, row.type, row.account, row.payload, row.real_now
    )


def settle_notice(tx: Tx, notice: Notice, state: str, why: str | None = None) -> bool:
    """Mark a notice applied, ignored or failed, with the sentence that says why; False if another
    transaction settled it: then the caller's changes are not made either.

    It comes first in its transaction, because its row is what keeps two workers apart.
    """
    return store.settle(tx, notice.id, state, why)


def apply_account(tx: Tx, notice: Notice, account: str, check: PayeeCheck) -> int:
    """What the gateway says of an account, asked for a notice, now holds for its payees: `account_told`."""
    return account_told(tx, notice.merchant_id, notice.method, account, check, notice.asked_at)


def account_told(
    tx: Tx, merchant_id: int, method: str, account: str, check: PayeeCheck, asked_at: datetime
) -> int:
    """What the gateway says of an account now holds for its payees; returns for how many it is news.

    ``asked_at`` is real time, before the gateway was asked: an answer to an older question changes nothing.
    An operator's block stays, whatever the gateway says.
    """
    changed = 0
    for payee in payees.lock_account(tx, merchant_id, method, account):
        if payee.gateway_asked_at is not None and payee.gateway_asked_at > asked_at:
            continue
        payees.gateway_said(tx, payee.id, None if check.ready else check.reason, asked_at)
        changed += 1
    if check.ready and changed:
        parking.resume_payee(tx, merchant_id, account)
    return changed


def apply_money(tx: Tx, notice: Notice, currencies: Collection[str]) -> int:
    """Money of these currencies is there: what waits for it is due now; returns how many payouts."""
    return sum(
        parking.resume_parked(tx, notice.merchant_id, currency) for currency in sorted(currencies)
    )


def sweep_notices(tx: Tx, *, limit: int = SWEEP_LIMIT) -> int:
    """Ask again for notices that nothing was made of, each at most once per backoff; returns how many."""
    rows = store.stuck(tx, limit)
    store.emitted(tx, [(row.id, look_wait(row.emit_count + 1)) for row in rows])
    outbox.emit(tx, [apply_message(row.id, row.merchant_id) for row in rows])
    return len(rows)


def notice_died(tx: Tx, notice_id: int) -> None:
    """Its message is a dead letter: nobody asks again until a person puts that back."""
    store.settle(
        tx,
        notice_id,
        "failed",
        "its message is a dead letter: a person decides (`payspool dead list`)",
    )
