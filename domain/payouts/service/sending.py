"""Sending, so that it cannot pay twice: the intent is committed, then the call is made, then its outcome
is recorded. What stops a second payment is a frozen amount and one live attempt per payout, kept by the
database; the gateway's idempotency key only helps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from domain.clock import business_now
from domain.db import Tx
from domain.earnings import service as earnings
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts.errors import NoSuchPayout, NotCancelable
from domain.payouts.gateway import Gateway, Order
from domain.payouts.rules import (
    LEASE,
    PAYOUT,
    Leave,
    LiveAttempt,
    Step,
    attempt_key,
    can,
    next_step,
    params_hash,
)
from domain.payouts.rules.attempts import (
    AFTER_LEASE,
    LOST_AFTER,
)
from domain.payouts.rules.shortfall import SHORT
from domain.payouts.service import booking, shortfalls
from domain.payouts.store import runs as run_store
from domain.payouts.store import sending as store
from domain.payouts.store import stops, straight
from domain.payouts.store.runs import Exclusion
from domain.payouts.store.sending import AttemptMove, PayoutMove

LEG: Final = "transfer"
"""The one leg of this version: to the connected account."""

IMMEDIATELY: Final = timedelta(0)

OTHER_ACCOUNT: Final = timedelta(minutes=10)
"""How long an attempt of another account waits before it is looked at again: a key may come back."""


WHILE_STOPPED: Final = timedelta(minutes=1)
"""How long after a stop was found the sweep looks: it asks for nothing while the stop is in force, and
lifting it does not wait for this."""


@dataclass(frozen=True, slots=True)
class Route:
    """Which gateway a payout goes through."""

    merchant_id: int
    method: str


@dataclass(frozen=True, slots=True)
class FrozenPayout:
    """What of a payout never changes (the database keeps it), and the installation that it is of."""

    payout_id: int
    merchant_id: int
    payee_id: int
    method: str
    amount: int
    currency: str
    destination: str
    installation: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt whose lease the caller holds: send ``params`` under ``key``, exactly as they are.

    ``lease_until`` is by PostgreSQL's real clock and is also the token that names this lease.
    """

    attempt_id: int
    payout_id: int
    merchant_id: int
    method: str
    destination: str
    key: str
    params: dict[str, Any]
    api_version: str
    lease_until: datetime


def route(tx: Tx, payout_id: int) -> Route:
    """Which gateway a payout goes through. Raises NoSuchPayout."""
    row = store.route(tx, payout_id)
    if row is None:
        raise NoSuchPayout("payout", payout_id)
    return Route(row.merchant_id, row.method)


def frozen(tx: Tx, payout_id: int) -> FrozenPayout:
    """What of a payout never changes. Raises NoSuchPayout."""
    row = straight.frozen(tx, payout_id)
    if row is None:
        raise NoSuchPayout("payout", payout_id)
    return FrozenPayout(
        row.id,
        row.merchant_id,
        row.payee_id,
        row.method,
        row.amount,
        row.currency,
        row.destination,
        row.installation,
    )


def route_of_attempt(tx: Tx, attempt_id: int) -> Route:
    """Which gateway an attempt went through. Raises NoSuchPayout."""
    row = store.route_of_attempt(tx, attempt_id)
    if row is None:
        raise NoSuchPayout("attempt", attempt_id)
    return Route(row.merchant_id, row.method)


def begin_first_attempt(tx: Tx, payout: FrozenPayout, gateway: Gateway) -> Attempt | Leave:
    """Commit to a send as ``begin_attempt`` does, in fewer statements where nothing is in the way.

    Most payouts are approved, and neither their payee nor their earnings have changed: then one statement
    takes the payout, and the attempt is its first. Anything else goes the careful road, which says why.
    (If another transaction changed the payout in that very moment, PostgreSQL may keep it locked before
    the careful road locks the account: at worst a deadlock that it ends, and the message comes again.)
    """
    at = straight.take(tx, payout.payout_id, payout.payee_id, LEASE + AFTER_LEASE)
    if at is None:
        return begin_attempt(tx, payout.payout_id, gateway)
    return _mint(tx, payout, 1, gateway, at)


def begin_attempt(tx: Tx, payout_id: int, gateway: Gateway) -> Attempt | Leave:
    """Commit to a send: mint attempt n, or take the lease of the one that waits; or leave it, and why.

    A block, a hold or a changed destination found here cancels the payout, gives its earnings back and
    notes an exclusion in its run. No call is made. Raises NoSuchPayout.
    """
    seen = store.peek(tx, payout_id)
    if seen is None:
        raise NoSuchPayout("payout", payout_id)
    if seen.method == "manual":
        # A bank file is its send, and its attempt has no lease: nothing here may take it for a waiting one.
        return Leave("manual")
    excluded = exclusion_found(tx, payout_id, seen)
    if excluded is not None:
        # The account comes before the payout in the lock order, so that it is locked here already.
        earnings.lock_payables(tx, [seen.account_id], wait=True)
    payout = store.lock_payout(tx, payout_id)
    latest = store.latest_attempt(tx, payout_id, LEG)
    live = None if latest.id is None else LiveAttempt(latest.state, latest.lease_until)
    step = next_step(
        payout.state,
        live,
        frozen=payout.frozen_reason is not None,
        next_try_at=payout.next_try_at,
        now=latest.real_now,
    )
    if isinstance(step, Leave):
        return step
    if step is Step.EXPIRE:
        expire(tx, payout, latest)
        ask(tx, payout.merchant_id, "payouts.resolve", {"attempt_id": latest.id}, IMMEDIATELY)
        return Leave("unknown")
    stop = stops.in_force(tx, payout.merchant_id, payout.method)
    if stop is not None:
        _keep(tx, payout, stop.sentence, WHILE_STOPPED)
        return Leave("stopped")
    if excluded is not None:
        return _exclude(tx, payout, latest if step is Step.RESUME else None, *excluded)
    if step is Step.RESUME:
        return hold_elsewhere(tx, payout, latest, gateway.account) or _resume(tx, payout, latest)
    if not shortfalls.passes(tx, payout):
        _keep(tx, payout, SHORT, LOST_AFTER)
        return Leave(SHORT)
    store.move_payout(
        tx, payout.id, PayoutMove(payout.state, "sending", look=LEASE + AFTER_LEASE, tried=1)
    )
    return _mint(tx, frozen(tx, payout_id), latest.last_n + 1, gateway, business_now(tx))


def _keep(tx: Tx, payout: Any, waits_for: str, look: timedelta) -> None:
    """Keep a payout that could be sent as it is; the sweep looks at it after ``look``."""
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            payout.state,
            # A failed payout that may be tried again says so by having a time for it.
            next_try=None if payout.next_try_at is None else IMMEDIATELY,
            look=look,
            parked=waits_for,
            error_code=payout.error_code,
            error_message=payout.error_message,
        ),
    )


def exclusion_found(tx: Tx, payout_id: int, seen: Any) -> tuple[str, str] | None:
    """A reason not to send that came up after the run was frozen."""
    if seen.blocked_reason:
        return "blocked", seen.blocked_reason
    if (seen.payee_method, seen.payee_account) != (seen.method, seen.destination):
        now = seen.payee_account or "nowhere yet"
        return "destination_changed", f"was {seen.destination}, is {now}"
    held = earnings.held_members(tx, payout_id)
    return ("on_hold", f"{held} of its earnings were put on hold") if held else None


def _exclude(tx: Tx, payout: Any, waiting: Any, reason: str, detail: str) -> Leave:
    if waiting is not None:
        _give_up(tx, payout, waiting, reason)
    _cancel(tx, payout, "failed" if waiting is not None else payout.state, f"{reason}: {detail}")
    excluded = Exclusion(
        payout.account_id, payout.user_id, payout.currency, payout.amount, reason, detail
    )
    run_store.exclude(tx, payout.run_id, payout.merchant_id, [excluded])
    return Leave(reason)


def _mint(tx: Tx, payout: FrozenPayout, n: int, gateway: Gateway, at: datetime) -> Attempt:
    """Mint attempt ``n`` of a payout that is `sending` since this transaction, and book it."""
    key = attempt_key(payout.installation, payout_id=payout.payout_id, leg=LEG, n=n)
    params = gateway.params(
        Order(
            installation=payout.installation,
            payout_id=payout.payout_id,
            merchant_id=payout.merchant_id,
            key=key,
            amount=payout.amount,
            currency=payout.currency,
            destination=payout.destination,
        )
    )
    minted = store.insert_attempt(
        tx,
        merchant_id=payout.merchant_id,
        payout_id=payout.payout_id,
        leg=LEG,
        n=n,
        key=key,
        params=params,
        params_hash=params_hash(params),
        api_version=gateway.api_version,
        platform_account=gateway.account,
        lease=LEASE,
    )
    booking.send(tx, payout, minted.id, at)
    return Attempt(
        minted.id,
        payout.payout_id,
        payout.merchant_id,
        payout.method,
        payout.destination,
        key,
        params,
        gateway.api_version,
        minted.lease_until,
    )


def _resume(tx: Tx, payout: Any, row: Any) -> Attempt:
    lease_until = store.lease_attempt(tx, row.id, "sending", LEASE)
    store.move_payout(tx, payout.id, PayoutMove("sending", "sending", look=LEASE + AFTER_LEASE))
    return leased(payout, row, lease_until)


def hold_elsewhere(tx: Tx, payout: Any, row: Any, account: str) -> Leave | None:
    """Hold an attempt of another account of the gateway than ``account``; None if it is of this one.

    Another account knows nothing of its key: it would pay again, and would find nothing. The payout says
    what it waits for, and the sweep comes back to it.
    """
    if row.platform_account == account:
        return None
    waits = (
        f"attempt {row.n} went through {row.platform_account}, the key is now of {account}:"
        f" give the merchant a key of {row.platform_account} until it is settled"
    )
    held = PayoutMove(
        payout.state,
        payout.state,
        look=OTHER_ACCOUNT,
        parked=waits,
        error_code=payout.error_code,
        error_message=payout.error_message,
    )
    store.move_payout(tx, payout.id, held)
    return Leave("other_account")


def leased(payout: Any, row: Any, lease_until: datetime) -> Attempt:
    """An attempt as it was stored: what is sent again is never rebuilt."""
    assert bytes(row.params_hash) == params_hash(row.params), (
        f"the parameters of attempt {row.id} are not those that were sent"
    )
    return Attempt(
        row.id,
        row.payout_id,
        row.merchant_id,
        payout.method,
        payout.destination,
        row.idempotency_key,
        row.params,
        row.api_version,
        lease_until,
    )


def expire(tx: Tx, payout: Any, row: Any) -> None:
    """The sender vanished with its lease: what it did is unknown."""
    store.move_attempt(
        tx, row.id, AttemptMove("sending", "unknown", "its sender vanished", resolved=False)
    )
    store.move_payout(tx, payout.id, PayoutMove("sending", "unknown", look=LOST_AFTER))


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
    state = payout.state
    if state == "sending":
        latest = store.latest_attempt(tx, payout_id, LEG)
        if latest.state != "sending" or latest.lease_until is not None:
            raise NotCancelable(payout_id, "sending: wait for its outcome")
        _give_up(tx, payout, latest, "canceled")
        state = "failed"
    if not can(PAYOUT, state, "canceled"):
        raise NotCancelable(payout_id, state)
    _cancel(tx, payout, state, reason)


def cancel_all(tx: Tx, drafts: Sequence[Any], *, reason: str) -> None:
    """Cancel payouts (id, account_id) that were never handed over; one that is no draft any more is left."""
    earnings.lock_payables(tx, sorted({d.account_id for d in drafts}), wait=True)
    for draft in sorted(drafts, key=lambda d: d.id):
        payout = store.lock_payout(tx, draft.id)
        if payout.state == "draft":
            _cancel(tx, payout, "draft", reason)


def _give_up(tx: Tx, payout: Any, waiting: Any, reason: str) -> None:
    # It was turned away each time, so that nothing was sent under its key.
    given_up = AttemptMove("sending", "failed", f"given up: {reason}", resolved=True)
    store.move_attempt(tx, waiting.id, given_up)
    store.move_payout(tx, payout.id, PayoutMove("sending", "failed", error_code=reason))
    booking.fail(tx, payout, waiting.id, business_now(tx))


def _cancel(tx: Tx, payout: Any, state: str, reason: str) -> None:
    # The state first: the database lets earnings leave only a payout that is canceled.
    store.move_payout(tx, payout.id, PayoutMove(state, "canceled", error_message=reason))
    released = earnings.release(tx, payout.id)
    assert released == payout.members, f"payout {payout.id} gives back all of its earnings"
    booking.release(tx, payout, business_now(tx))


def ask(tx: Tx, merchant_id: int, actor: str, args: dict[str, Any], wait: timedelta) -> None:
    """Ask for work on the payouts queue, after ``wait``."""
    outbox.emit(
        tx,
        [OutboxMessage("payouts", actor, args, merchant_id, delay_seconds=wait.total_seconds())],
    )
