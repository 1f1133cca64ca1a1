"""The second leg of a payout: from the connected account to its bank.

It follows a transfer that succeeded, and has attempts of its own, made and settled as those of the first
leg are. Whatever becomes of it, the transfer is never made again: the money is on the connected account,
and goes to the bank by another bank attempt, or back by a reversal.
"""

from datetime import timedelta
from typing import Any, Final

from domain.clock import business_now
from domain.db import Tx
from domain.earnings import service as earnings
from domain.payouts.errors import NoSuchPayout
from domain.payouts.gateway import Gateway, Order, PaysBanks
from domain.payouts.rules import (
    LEASE,
    PAYOUT,
    GatewayOutcome,
    Leave,
    LiveAttempt,
    Step,
    attempt_key,
    can,
    params_hash,
)
from domain.payouts.rules.attempts import AFTER_LEASE, LOST_AFTER, healing_wait
from domain.payouts.rules.bank_leg import (
    BANK,
    FOLLOW_AFTER,
    HEALING,
    NOT_READY_LOOK,
    TRANSFER,
    next_bank_step,
    not_payable,
)
from domain.payouts.rules.shortfall import SHORT
from domain.payouts.rules.watermark import BEHIND, Mark
from domain.payouts.service.elsewhere import hold_elsewhere
from domain.payouts.service.sending import (
    IMMEDIATELY,
    WHILE_STOPPED,
    Attempt,
    ask,
    expire,
    frozen,
    keep,
    resume,
)
from domain.payouts.store import reversing, stops, watermark
from domain.payouts.store import sending as store
from domain.payouts.store.sending import PayoutMove

WHILE_HELD: Final = timedelta(minutes=10)
"""How long a payout on a connected account is left alone whose payee is blocked, or whose earnings are on
hold, before it is looked at again."""

BEING_REVERSED: Final = (
    "part of it is being taken back: how much is left is known when that has ended"
)
WHILE_REVERSED: Final = timedelta(minutes=10)
"""How long a payout of which something is being taken back is left alone before it is looked at again."""


def begin_bank_attempt(
    tx: Tx,
    payout_id: int,
    gateway: Gateway,
    mark: Mark | None = None,
    *,
    hindrance: str | None = None,
) -> Attempt | Leave:
    """Commit to a payout to the bank: mint attempt n, or take the lease of the one that waits; or leave it.

    ``mark`` is what is kept outside of the database (None: not compared); one that knows more than the
    database leaves the payout as it is, for BEHIND. ``hindrance`` is why the account cannot pay out now,
    as it was found before this transaction; it keeps a new attempt from being made, and touches none that
    was. A block, a hold or a reversal under way keeps the payout where it is; a payee's change of account
    does not: the money is on the account that was approved. No call is made. Raises NoSuchPayout.
    """
    seen = store.peek(tx, payout_id)
    if seen is None:
        raise NoSuchPayout("payout", payout_id)
    payout = store.lock_payout(tx, payout_id)
    transfer = store.latest_attempt(tx, payout_id, TRANSFER)
    if not payout.bank_leg or transfer.state != "succeeded":
        return Leave(payout.state)
    latest = store.latest_attempt(tx, payout_id, BANK)
    step = next_bank_step(
        payout.state,
        None if latest.id is None else LiveAttempt(latest.state, latest.lease_until),
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
    held = _held(tx, payout_id, seen)
    if held is not None:
        keep(tx, payout, f"{held[0]}: {held[1]}", WHILE_HELD)
        return Leave(held[0])
    if step is Step.RESUME:
        return hold_elsewhere(tx, payout, latest, gateway.account) or resume(tx, payout, latest)
    elsewhere = hold_elsewhere(tx, payout, transfer, gateway.account)
    if elsewhere is not None:
        return elsewhere
    if reversing.live_of(tx, payout_id) is not None:
        keep(tx, payout, BEING_REVERSED, WHILE_REVERSED)
        return Leave("being_reversed")
    amount = payout.amount - payout.reversed_amount
    hindrance = not_payable(payout.currency, amount) or hindrance
    if hindrance is not None:
        keep(tx, payout, hindrance, NOT_READY_LOOK)
        return Leave("not_ready")
    state = "sending" if payout.state == "returned" else payout.state
    store.move_payout(
        tx, payout.id, PayoutMove(payout.state, state, look=LEASE + AFTER_LEASE, tried=1)
    )
    return _mint(tx, payout_id, latest.last_n + 1, amount, gateway)


def _held(tx: Tx, payout_id: int, seen: Any) -> tuple[str, str] | None:
    if seen.blocked_reason:
        return "blocked", seen.blocked_reason
    held = earnings.lock_members(tx, payout_id)
    return ("on_hold", f"{held} of its earnings were put on hold") if held else None


def _mint(tx: Tx, payout_id: int, n: int, amount: int, gateway: Gateway) -> Attempt:
    assert isinstance(gateway, PaysBanks), f"{gateway.method} has no second leg"
    payout = frozen(tx, payout_id)
    key = attempt_key(payout.installation, payout_id=payout_id, leg=BANK, n=n)
    params = gateway.bank.params(
        Order(
            installation=payout.installation,
            payout_id=payout_id,
            merchant_id=payout.merchant_id,
            key=key,
            amount=amount,
            currency=payout.currency,
            destination=payout.destination,
        )
    )
    minted = store.insert_attempt(
        tx,
        merchant_id=payout.merchant_id,
        payout_id=payout_id,
        leg=BANK,
        n=n,
        key=key,
        params=params,
        params_hash=params_hash(params),
        api_version=gateway.api_version,
        platform_account=gateway.account,
        lease=LEASE,
    )
    return Attempt(
        minted.id,
        payout_id,
        payout.merchant_id,
        payout.method,
        payout.destination,
        key,
        params,
        gateway.api_version,
        minted.lease_until,
        BANK,
    )


def transferred(tx: Tx, payout: Any, external_id: str) -> str:
    """The first leg has succeeded: the second one is asked for in the same transaction.

    Nothing moves in the ledger: it stays in flight until the bank has it.
    """
    assert can(PAYOUT, payout.state, "in_transit"), f"payout {payout.id} is {payout.state}"
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(payout.state, "in_transit", look=LOST_AFTER, external_id=external_id),
    )
    ask(tx, payout.merchant_id, "payouts.send", {"payout_id": payout.id}, IMMEDIATELY)
    return "in_transit"


def accepted(tx: Tx, payout: Any) -> str:
    """The gateway has taken the payout to the bank. What becomes of it is news, which is not waited for
    for ever."""
    assert payout.state == "in_transit" or can(PAYOUT, payout.state, "in_transit"), payout.state
    store.move_payout(tx, payout.id, PayoutMove(payout.state, "in_transit", look=FOLLOW_AFTER))
    return "in_transit"


def refused(tx: Tx, payout: Any, row: Any, outcome: GatewayOutcome) -> str:
    """The gateway surely did not pay the bank: another bank attempt may follow, never another transfer.

    What is not available on the account yet becomes so by itself, as a day's limit passes; all else waits
    for the account to be mended, or for a person.
    """
    waits_for = HEALING.get(outcome.code or "")
    wait = healing_wait(SHORT, row.n) if waits_for is not None else None
    state = "in_transit" if wait is not None else "returned"
    assert payout.state == state or can(PAYOUT, payout.state, state), payout.state
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            payout.state,
            state,
            next_try=wait,
            look=wait,
            parked=waits_for if wait is not None else None,
            error_code=outcome.code,
            error_message=outcome.message,
            failed_at=business_now(tx) if wait is None else None,
        ),
    )
    return state
