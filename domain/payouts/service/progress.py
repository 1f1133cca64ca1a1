"""Money that takes days: how the gateway says that it stands is applied, once, and never backwards.

While it is on its way a payout is `in_transit`, and stands in flight in the ledger; with the payee's bank
it is `paid`, and leaves flight. Back at the gateway it is `returned`: it has left flight, and is not ours
yet. Back on the merchant's balance it is `reversed`: a person says what becomes of its earnings.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from domain.clock import business_now
from domain.db import Tx
from domain.payouts.errors import NoSuchPayout
from domain.payouts.gateway import Progress
from domain.payouts.rules import PAYOUT, GatewayOutcome, can
from domain.payouts.rules.progress import (
    DAILY,
    ON_ITS_WAY,
    PAID_FOR,
    Becomes,
    done_looking,
    follows,
    next_look,
)
from domain.payouts.service import booking
from domain.payouts.service.recording import freeze
from domain.payouts.store import progress as store
from domain.payouts.store import reversals, sending
from domain.payouts.store.sending import AttemptMove, PayoutMove


class Applied(Enum):
    """What was made of the gateway's word."""

    APPLIED = "applied"
    NOT_OURS = "no attempt of ours made it"
    TOO_EARLY = "the attempt that made it is not settled yet"
    STOPPED = "it contradicts what is known: a person looks"


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """What to ask a gateway about. ``asked_at`` is real time, before it is asked."""

    payout_id: int
    merchant_id: int
    method: str
    account: str
    external_id: str
    asked_at: datetime


def on_its_way(tx: Tx, payout_id: int) -> OnItsWay | None:
    """A payout whose money is with a gateway; None if there is nothing to ask about it."""
    row = store.on_its_way(tx, payout_id)
    if row is None or row.state not in ON_ITS_WAY:
        return None
    return OnItsWay(
        payout_id, row.merchant_id, row.method, row.platform_account, row.external_id, row.real_now
    )


def apply_progress(tx: Tx, merchant_id: int, seen: Progress, asked_at: datetime) -> Applied:
    """Apply how a transfer stands. Repeating it changes nothing, and neither does an older answer.

    Raises NoSuchPayout if the payout of the attempt is gone, which cannot be.
    """
    named = store.attempt_named(tx, merchant_id, seen.account, seen.reference)
    if named is None:
        return Applied.NOT_OURS
    payout = sending.lock_payout(tx, named.payout_id)
    if payout is None:
        raise NoSuchPayout("payout", named.payout_id)
    attempt = sending.attempt(tx, named.id)
    if attempt.state in ("created", "sending", "unknown"):
        return Applied.TOO_EARLY
    if not store.asked(tx, payout.id, asked_at):
        return Applied.APPLIED
    if attempt.external_id is None or attempt.external_id != seen.external_id:
        return _of_another(tx, payout, attempt, seen)
    age = attempt.real_now - attempt.resolved_at
    new = follows(payout.state, seen.stage)
    if isinstance(new, Becomes):
        assert can(PAYOUT, payout.state, new.state), f"payout {payout.id} is {payout.state}"
        _move(tx, payout, attempt, seen, new.state)
        return Applied.APPLIED
    if new is not None:
        return _stop(tx, payout, attempt, seen, new.reason)
    if done_looking(payout.state, age):
        store.look(tx, payout.id, None)
    elif (wait := next_look(payout.state, age)) is not None:
        store.look(tx, payout.id, wait)
    return Applied.APPLIED


def _of_another(tx: Tx, payout: Any, attempt: Any, seen: Progress) -> Applied:
    """A transfer under an attempt's name that is not the one it is known to have made."""
    if seen.stage not in PAID_FOR:
        # Made, and given up: it has paid nobody.
        return Applied.APPLIED
    reason = (
        f"attempt {attempt.n} is {attempt.state}, yet the gateway made {seen.external_id} for it"
    )
    return _stop(tx, payout, attempt, seen, reason)


def _stop(tx: Tx, payout: Any, attempt: Any, seen: Progress, reason: str) -> Applied:
    if payout.frozen_reason is None:
        told = GatewayOutcome(
            "response", external_id=seen.external_id, message=f"the gateway says {seen.standing}"
        )
        freeze(tx, payout, attempt, told, f"{reason} ({seen.external_id}: {seen.standing})")
    return Applied.STOPPED


def _move(tx: Tx, payout: Any, attempt: Any, seen: Progress, state: str) -> None:
    now = business_now(tx)
    if payout.state == "in_transit":
        booking.pay(tx, payout, attempt.id, now)
    if state == "reversed":
        _refund(tx, payout, attempt, seen, now)
        return
    move = PayoutMove(
        payout.state,
        state,
        look=DAILY,
        parked=f"the gateway says {seen.standing}: it comes back" if state == "returned" else None,
        processed_at=now if state == "paid" else None,
        failed_at=now if state == "returned" else None,
    )
    sending.move_payout(tx, payout.id, move)


def _refund(tx: Tx, payout: Any, attempt: Any, seen: Progress, now: datetime) -> None:
    made = reversals.insert(tx, payout, f"{seen.external_id}/refund", payout.amount)
    assert made is not None, f"payout {payout.id} is not reversed yet"
    moved = AttemptMove("succeeded", "reversed", f"the gateway says {seen.standing}", resolved=True)
    sending.move_attempt(tx, attempt.id, moved)
    reversals.came_back(tx, payout.id, payout.amount, payout.state, "reversed")
    booking.come_back(tx, payout, made, payout.amount, now)
