"""Money that came back: found at the gateway, booked once each; then a person says what becomes of it."""

from enum import Enum
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.clock import business_now
from domain.db import Tx
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.payouts.errors import NoSuchPayout, NotReleasable
from domain.payouts.gateway import SeenTransfer
from domain.payouts.rules import PAYOUT, can
from domain.payouts.rules.bank_leg import BANK
from domain.payouts.service import booking
from domain.payouts.store import bank_leg, sending
from domain.payouts.store import reversals as store
from domain.payouts.store.sending import AttemptMove

UNSETTLED: Final = ("created", "sending", "unknown")
"""Attempts of which it is not known yet whether they paid."""


class Booked(Enum):
    """What was made of the reversals that a gateway shows of a transfer."""

    BOOKED = "booked"
    NOT_OURS = "no attempt of ours made it"
    TOO_EARLY = "the attempt that made it is not settled yet"
    CONTRADICTS = "the attempt that made it did not pay its payout"


def book_reversals(tx: Tx, merchant_id: int, seen: SeenTransfer) -> Booked:
    """Book what came back of a transfer and is not booked yet; repeating it books nothing more.

    When all of it came back, the payout and its attempt are reversed. A transfer that its attempt is not
    known to have made stops the payout for a person, before another attempt pays it again.
    """
    row = store.attempt_of(tx, merchant_id, seen.key) if seen.key else None
    if row is None or row.leg != "transfer":
        return Booked.NOT_OURS
    payout = sending.lock_payout(tx, row.payout_id)
    attempt = sending.attempt(tx, row.id)
    if attempt.state in UNSETTLED:
        return Booked.TOO_EARLY
    if attempt.external_id != seen.external_id:
        found = f"attempt {attempt.n} is {attempt.state}, yet the gateway made {seen.external_id} for it"
        bank_leg.freeze(tx, payout.id, found)
        return Booked.CONTRADICTS
    if payout.bank_leg and sending.latest_attempt(tx, payout.id, BANK).state in UNSETTLED:
        # Whether the bank is paid what came back is not known before that attempt is settled.
        return Booked.TOO_EARLY
    now = business_now(tx)
    for external_id, amount in seen.reversals:
        made = store.insert(tx, payout, external_id, amount)
        if made is None:
            continue
        whole = payout.reversed_amount + amount == payout.amount
        state = "reversed" if whole else payout.state
        assert state == payout.state or can(PAYOUT, payout.state, state), f"payout {payout.id}"
        if whole:
            move = AttemptMove("succeeded", "reversed", "reversed at the gateway", resolved=True)
            sending.move_attempt(tx, attempt.id, move)
        store.came_back(tx, payout.id, amount, payout.state, state)
        booking.come_back(tx, payout, made, amount, now)
        payout = sending.lock_payout(tx, payout.id)
    return Booked.BOOKED


def release(tx: Tx, payout_id: int, *, reason: str, actor: Actor) -> None:
    """Let the earnings of a payout that came back whole be paid again. Raises NoSuchPayout, NotReleasable."""
    account_id = sending.account_of(tx, payout_id)
    if account_id is None:
        raise NoSuchPayout("payout", payout_id)
    earnings.lock_payables(tx, [account_id], wait=True)
    payout = sending.lock_payout(tx, payout_id)
    if payout.state != "reversed":
        raise NotReleasable(f"payout {payout_id}", f"it is {payout.state}, not reversed")
    if payout.release_confirmed_by is not None:
        raise NotReleasable(f"payout {payout_id}", f"{payout.release_confirmed_by} did it already")
    _refuse_stopped(payout, f"payout {payout_id}")
    parts = store.of_payout(tx, payout_id)
    decided = [part for part in parts if part.decision is not None]
    if decided:
        raise NotReleasable(
            f"payout {payout_id}",
            f"reversal {decided[0].id} of it is {decided[0].decision}; decide on the others one by one",
        )
    store.confirm_release(tx, payout_id, by=actor.id)
    for part in parts:
        store.decide(tx, part.id, "released", by=actor.id, reason=reason)
    released = earnings.release(tx, payout_id)
    assert released == payout.members, f"payout {payout_id} gives back all of its earnings"
    booking.let_go(tx, payout, business_now(tx))
    audit.record(
        tx,
        actor,
        "payout.released",
        merchant_id=payout.merchant_id,
        subject_kind="payout",
        subject_id=payout_id,
        reason=reason,
        after={"earnings": released, "amount": payout.amount},
    )


def _refuse_stopped(payout: Any, what: str) -> None:
    """What was paid twice, or by an attempt that was given up, may be with the payee although it came back
    once: owed again, it would be paid a second time."""
    if payout.frozen_reason is not None:
        raise NotReleasable(
            what, f"its payout is stopped ({payout.frozen_reason}); two people let it go on first"
        )


def decide(
    tx: Tx, merchant_id: int, reversal_id: int, *, owed: bool, reason: str, actor: Actor
) -> None:
    """Say what becomes of what came back: owed to the payee again, as an adjustment, or kept.

    Raises NoSuchPayout, NotReleasable.
    """
    payout_id = store.payout_of(tx, merchant_id, reversal_id)
    if payout_id is None:
        raise NoSuchPayout("reversal", reversal_id)
    account_id = sending.account_of(tx, payout_id)
    assert account_id is not None, "a reversal is of a payout"
    earnings.lock_payables(tx, [account_id], wait=True)
    payout = sending.lock_payout(tx, payout_id)
    [part] = [part for part in store.of_payout(tx, payout_id) if part.id == reversal_id]
    if part.decision is not None:
        raise NotReleasable(f"reversal {reversal_id}", f"it is {part.decision} already")
    _refuse_stopped(payout, f"reversal {reversal_id}")
    store.decide(tx, part.id, "owed" if owed else "kept", by=actor.id, reason=reason)
    now = business_now(tx)
    booking.keep(tx, payout, part.id, part.amount, now)
    if owed:
        # With what was kept a line above, this moves it to what is owed to the payee.
        again = NewEarning(
            merchant_id=merchant_id,
            user_id=payout.user_id,
            currency=payout.currency,
            amount=part.amount,
            kind="adjustment",
            source_kind="payout_reversal",
            source_id=part.id,
            available_at=now,
            occurred_at=now,
        )
        earnings.record(tx, [again])
    audit.record(
        tx,
        actor,
        "payout_reversal.decided",
        merchant_id=merchant_id,
        subject_kind="payout_reversal",
        subject_id=reversal_id,
        reason=reason,
        after={"decision": "owed" if owed else "kept", "amount": part.amount},
    )
