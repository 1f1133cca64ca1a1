"""Sending, so that it cannot pay twice: the intent is committed, then the call is made, then its outcome
is recorded. What stops a second payment is a frozen amount and one live attempt per payout, kept by the
database; the gateway's idempotency key only helps.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from domain.clock import business_now
from domain.db import Tx
from domain.earnings import service as earnings
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts.errors import NoSuchPayout
from domain.payouts.gateway import Gateway, Order
from domain.payouts.rules import (
    LEASE,
    Leave,
    LiveAttempt,
    Step,
    attempt_key,
    next_step,
    params_hash,
)
from domain.payouts.rules.attempts import AFTER_LEASE, LOST_AFTER
from domain.payouts.rules.bank_leg import BANK, NOT_READY_LOOK, TRANSFER
from domain.payouts.rules.outside import SAID
from domain.payouts.rules.shortfall import SHORT
from domain.payouts.rules.watermark import BEHIND, Mark
from domain.payouts.service import booking, canceling, shortfalls
from domain.payouts.service.elsewhere import hold_elsewhere
from domain.payouts.store import sending as store
from domain.payouts.store import stops, straight, watermark
from domain.payouts.store.sending import AttemptMove, PayoutMove

LEG: Final = TRANSFER
"""The leg of this module: to the connected account. The one after it is in ``bank_leg``."""

IMMEDIATELY: Final = timedelta(0)

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
    """What of a payout never changes (the database keeps it), and the installation that it is of.

    ``leg`` is the one to be sent now: `bank` once the transfer of one with ``bank_leg`` has succeeded.
    """

    payout_id: int
    merchant_id: int
    payee_id: int
    method: str
    amount: int
    currency: str
    destination: str
    installation: str
    leg: str = TRANSFER
    bank_leg: bool = False


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
    leg: str = TRANSFER


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
        BANK if row.transferred else TRANSFER,
        row.bank_leg,
    )


def route_of_attempt(tx: Tx, attempt_id: int) -> Route:
    """Which gateway an attempt went through. Raises NoSuchPayout."""
    row = store.route_of_attempt(tx, attempt_id)
    if row is None:
        raise NoSuchPayout("attempt", attempt_id)
    return Route(row.merchant_id, row.method)


def begin_first_attempt(
    tx: Tx, payout: FrozenPayout, gateway: Gateway, mark: Mark | None = None
) -> Attempt | Leave:
    """Commit to a send as ``begin_attempt`` does, in fewer statements where nothing is in the way.

    Most payouts are approved, and neither their payee nor their earnings have changed: then one statement
    takes the payout, and the attempt is its first. Anything else goes the careful road, which says why.
    (If another transaction changed the payout in that very moment, PostgreSQL may keep it locked before
    the careful road locks the account: at worst a deadlock that it ends, and the message comes again.)
    """
    at = straight.take(tx, payout.payout_id, payout.payee_id, LEASE + AFTER_LEASE, mark)
    if at is None:
        return begin_attempt(tx, payout.payout_id, gateway, mark)
    return _mint(tx, payout, 1, gateway, at)


def begin_attempt(
    tx: Tx,
    payout_id: int,
    gateway: Gateway,
    mark: Mark | None = None,
    *,
    hindrance: str | None = None,
) -> Attempt | Leave:
    """Commit to a send: mint attempt n, or take the lease of the one that waits; or leave it, and why.

    ``mark`` is what is kept outside of the database (None: not compared); one that knows more than the
    database leaves the payout as it is, for BEHIND. A block, a hold or a changed destination found here
    cancels the payout, gives its earnings back and notes an exclusion in its run. With a ``hindrance``,
    found before, no new attempt is made: its second leg could not follow. No call is made. Raises
    NoSuchPayout.
    """
    seen = store.peek(tx, payout_id)
    if seen is None:
        raise NoSuchPayout("payout", payout_id)
    if seen.method == "manual":
        # A bank file is its send, and its attempt has no lease: nothing here may take it for a waiting one.
        return Leave("manual")
    excluded = canceling.exclusion_found(tx, payout_id, seen)
    if excluded is not None:
        # The account comes before the payout in the lock order, so that it is locked here already.
        earnings.lock_payables(tx, [seen.account_id], wait=True)
    payout = store.lock_payout(tx, payout_id)
    if payout.parked_reason == SAID:
        return Leave("said_paid_outside")
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
        keep(tx, payout, stop.sentence, WHILE_STOPPED)
        return Leave("stopped")
    if mark is not None and not watermark.agrees(tx, mark):
        return Leave(BEHIND)
    if excluded is not None:
        return canceling.exclude(tx, payout, latest if step is Step.RESUME else None, *excluded)
    if earnings.lock_members(tx, payout_id):
        # Set since it was looked at above; the account comes before the payout: the next message cancels.
        keep(tx, payout, "on_hold", LOST_AFTER)
        ask(tx, payout.merchant_id, "payouts.send", {"payout_id": payout_id}, IMMEDIATELY)
        return Leave("on_hold")
    if step is Step.RESUME:
        return hold_elsewhere(tx, payout, latest, gateway.account) or resume(tx, payout, latest)
    if hindrance is not None:
        keep(tx, payout, hindrance, NOT_READY_LOOK)
        return Leave("not_ready")
    if not shortfalls.passes(tx, payout):
        keep(tx, payout, SHORT, LOST_AFTER)
        return Leave(SHORT)
    store.move_payout(
        tx, payout.id, PayoutMove(payout.state, "sending", look=LEASE + AFTER_LEASE, tried=1)
    )
    return _mint(tx, frozen(tx, payout_id), latest.last_n + 1, gateway, business_now(tx))


def keep(tx: Tx, payout: Any, waits_for: str, look: timedelta) -> None:
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


def resume(tx: Tx, payout: Any, row: Any) -> Attempt:
    """Take the lease of an attempt that waits; it is sent as it was stored."""
    lease_until = store.lease_attempt(tx, row.id, "sending", LEASE)
    store.move_payout(
        tx, payout.id, PayoutMove(payout.state, payout.state, look=LEASE + AFTER_LEASE)
    )
    return leased(payout, row, lease_until)


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
        row.leg,
    )


def expire(tx: Tx, payout: Any, row: Any) -> None:
    """The sender vanished with its lease: what it did is unknown."""
    store.move_attempt(
        tx, row.id, AttemptMove("sending", "unknown", "its sender vanished", resolved=False)
    )
    store.move_payout(tx, payout.id, PayoutMove(payout.state, "unknown", look=LOST_AFTER))


def ask(tx: Tx, merchant_id: int, actor: str, args: dict[str, Any], wait: timedelta) -> None:
    """Ask for work on the payouts queue, after ``wait``."""
    outbox.emit(
        tx,
        [OutboxMessage("payouts", actor, args, merchant_id, delay_seconds=wait.total_seconds())],
    )
