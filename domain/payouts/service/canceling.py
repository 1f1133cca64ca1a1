"""Giving a payout up: its earnings can be claimed again, and it can never be sent."""

from collections.abc import Sequence
from typing import Any

from domain.clock import business_now
from domain.db import Tx
from domain.earnings import service as earnings
from domain.payouts.errors import NoSuchPayout, NotCancelable
from domain.payouts.rules import PAYOUT, Leave, can
from domain.payouts.rules.bank_leg import TRANSFER
from domain.payouts.rules.outside import SAID
from domain.payouts.service import booking
from domain.payouts.store import limits
from domain.payouts.store import runs as run_store
from domain.payouts.store import sending as store
from domain.payouts.store.runs import Exclusion
from domain.payouts.store.sending import AttemptMove, PayoutMove


def exclusion_found(tx: Tx, payout_id: int, seen: Any) -> tuple[str, str] | None:
    """A reason not to send that came up after the run was frozen."""
    if seen.blocked_reason:
        return "blocked", seen.blocked_reason
    if (seen.payee_method, seen.payee_account) != (seen.method, seen.destination):
        now = seen.payee_account or "nowhere yet"
        return "destination_changed", f"was {seen.destination}, is {now}"
    held = earnings.held_members(tx, payout_id)
    return ("on_hold", f"{held} of its earnings were put on hold") if held else None


def exclude(tx: Tx, payout: Any, waiting: Any, reason: str, detail: str) -> Leave:
    """Cancel a payout for a reason that came up after its run was frozen, and note it in the run.

    ``waiting`` is its attempt that was turned away each time, if there is one.
    """
    if waiting is not None:
        _give_up(tx, payout, waiting, reason)
    _cancel(tx, payout, "failed" if waiting is not None else payout.state, f"{reason}: {detail}")
    excluded = Exclusion(
        payout.account_id, payout.user_id, payout.currency, payout.amount, reason, detail
    )
    run_store.exclude(tx, payout.run_id, payout.merchant_id, [excluded])
    return Leave(reason)


def cancel(tx: Tx, payout_id: int, *, reason: str) -> None:
    """Give a payout up: its earnings can be claimed again, and it can never be sent.

    One that is `sending` can be given up while its attempt waits without a lease: the gateway turned it
    away each time (a revoked key, its rate limit), so that nothing was sent under its key. Raises
    NoSuchPayout, or NotCancelable if it may have been paid or is stopped.
    """
    account_id = store.account_of(tx, payout_id)
    if account_id is None:
        raise NoSuchPayout("payout", payout_id)
    earnings.lock_payables(tx, [account_id], wait=True)
    payout = store.lock_payout(tx, payout_id)
    if payout.frozen_reason is not None:
        raise NotCancelable(payout_id, f"stopped ({payout.frozen_reason})")
    if payout.parked_reason == SAID:
        raise NotCancelable(payout_id, f"{payout.state}, and {SAID}")
    state = payout.state
    if state == "sending":
        latest = store.latest_attempt(tx, payout_id, TRANSFER)
        if latest.state != "sending" or latest.lease_until is not None:
            raise NotCancelable(payout_id, "sending: wait for its outcome")
        _give_up(tx, payout, latest, "canceled")
        state = "failed"
    if not can(PAYOUT, state, "canceled"):
        raise NotCancelable(payout_id, state)
    _cancel(tx, payout, state, reason)


def cancel_all(tx: Tx, drafts: Sequence[Any], *, reason: str) -> None:
    """Cancel payouts (id, account_id) that were never handed over, all of them in a few statements; one
    that is no draft any more, or is stopped, is left. The outcome is that of `cancel`, one by one."""
    earnings.lock_payables(tx, sorted({d.account_id for d in drafts}), wait=True)
    # The state first, as in _cancel.
    canceled = store.cancel_drafts(tx, sorted(d.id for d in drafts), reason)
    ids = [payout.id for payout in canceled]
    limits.give_back(tx, ids)
    released = earnings.release_all(tx, ids)
    assert released == sum(p.members for p in canceled), "payouts give back all of their earnings"
    booking.release_all(tx, canceled, business_now(tx))


def _give_up(tx: Tx, payout: Any, waiting: Any, reason: str) -> None:
    # It was turned away each time, so that nothing was sent under its key.
    given_up = AttemptMove("sending", "failed", f"given up: {reason}", resolved=True)
    store.move_attempt(tx, waiting.id, given_up)
    store.move_payout(tx, payout.id, PayoutMove("sending", "failed", error_code=reason))
    booking.fail(tx, payout, waiting.id, business_now(tx))


def _cancel(tx: Tx, payout: Any, state: str, reason: str) -> None:
    # The state first: the database lets earnings leave only a payout that is canceled.
    store.move_payout(tx, payout.id, PayoutMove(state, "canceled", error_message=reason))
    limits.give_back(tx, [payout.id])
    released = earnings.release(tx, payout.id)
    assert released == payout.members, f"payout {payout.id} gives back all of its earnings"
    booking.release(tx, payout, business_now(tx))
