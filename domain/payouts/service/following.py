"""What became of payouts to banks: asked of the gateway, and applied once, whatever order answers come in."""

from dataclasses import dataclass
from typing import Any, Final

from domain.clock import business_now
from domain.db import Tx
from domain.payouts.errors import NoSuchPayout
from domain.payouts.rules import PAYOUT, can
from domain.payouts.rules.bank_leg import (
    CAME_BACK,
    FOLLOW_AFTER,
    FOLLOW_PAID,
    FOLLOW_PAID_FOR,
    RETURNED_BY_BANK,
    News,
    SeenBankPayout,
    becomes,
)
from domain.payouts.service import booking
from domain.payouts.service.reversals import UNSETTLED, Booked
from domain.payouts.store import bank_leg as store
from domain.payouts.store import differences, sending
from domain.payouts.store.sending import AttemptMove, PayoutMove


@dataclass(frozen=True, slots=True)
class Followed:
    """A payout to a bank that the gateway is to be asked about, by the gateway's names."""

    merchant_id: int
    method: str
    account: str
    external_id: str


def to_follow(tx: Tx, attempt_id: int) -> Followed | None:
    """What to ask the gateway about a bank attempt; None if its payout is not on its way, nor with the bank.
    Raises NoSuchPayout."""
    row = store.followed(tx, attempt_id)
    if row is None:
        raise NoSuchPayout("attempt", attempt_id)
    if row.attempt_state != "succeeded" or row.state not in ("in_transit", "paid"):
        return None
    return Followed(row.merchant_id, row.method, row.destination, row.external_id)


def apply_bank_payout(tx: Tx, merchant_id: int, platform: str, seen: SeenBankPayout) -> Booked:
    """What the gateway shows of a payout to a bank now holds for ours; repeating it changes nothing.

    ``platform`` is the gateway's account whose key saw it. One that no attempt of ours made is told from
    ours by name; one that contradicts its attempt stops its payout for a person.
    """
    found = store.attempt_of(tx, merchant_id, platform, seen.key, seen.external_id)
    if found is None:
        return Booked.NOT_OURS
    payout = sending.lock_payout(tx, found.payout_id)
    attempt = sending.attempt(tx, found.id)
    if attempt.state in UNSETTLED:
        return Booked.TOO_EARLY
    wrong = _contradiction(payout, attempt, seen)
    if wrong is not None:
        if attempt.external_id == seen.external_id or differences.raise_bank(
            tx,
            payout.id,
            platform=platform,
            external_id=seen.external_id,
            amount=seen.amount,
            attempt_id=attempt.id,
        ):
            _freeze(tx, payout, wrong)
        return Booked.CONTRADICTS
    news = becomes(payout.state, attempt.state, seen.status)
    if news is News.PAID:
        _arrived(tx, payout, attempt)
    elif news is News.RETURNED:
        _returned(tx, payout, attempt, seen)
    return Booked.BOOKED


def keep_following(tx: Tx, attempt_id: int, *, hidden: bool = False) -> None:
    """Say when the gateway is asked again about a bank attempt that it was asked about just now.

    ``hidden``: it does not show the account any more. What the bank has for long enough is not asked
    about any more.
    """
    row = sending.attempt(tx, attempt_id)
    payout = sending.lock_payout(tx, row.payout_id)
    row = sending.attempt(tx, attempt_id)
    if row.state != "succeeded" or payout.state not in ("in_transit", "paid"):
        return
    old = row.real_now - row.resolved_at >= FOLLOW_PAID_FOR
    wait = FOLLOW_AFTER if payout.state == "in_transit" else FOLLOW_PAID
    store.look_again(
        tx,
        payout.id,
        None if old and (hidden or payout.state == "paid") else wait,
        "the gateway does not show this account any more: a person finds out what the bank did"
        if hidden and payout.state == "in_transit"
        else None,
    )


def _contradiction(payout: Any, attempt: Any, seen: SeenBankPayout) -> str | None:
    """Why what is seen cannot be what an attempt asked for; None if it can."""
    if attempt.state in ("failed", "abandoned"):
        if seen.status in CAME_BACK:
            return None
        return (
            f"bank attempt {attempt.n} is {attempt.state}, yet the gateway made {seen.external_id}"
        )
    if attempt.external_id != seen.external_id:
        return (
            f"bank attempt {attempt.n} made {attempt.external_id}, yet {seen.external_id} names it"
        )
    asked = (attempt.params["amount"], payout.currency, payout.destination)
    if asked != (seen.amount, seen.currency, seen.account):
        return f"{seen.external_id} is not the payout to a bank that was asked for"
    return None


_WHY: Final = {
    "failed": "the bank returned it",
    "canceled": "it was canceled at the gateway",
    "reversed": "it was taken back from the bank at the gateway",
}


def _freeze(tx: Tx, payout: Any, reason: str) -> None:
    if payout.frozen_reason is None:
        store.freeze(tx, payout.id, reason)


def _arrived(tx: Tx, payout: Any, attempt: Any) -> None:
    now = business_now(tx)
    sending.move_payout(
        tx, payout.id, PayoutMove(payout.state, "paid", look=FOLLOW_PAID, processed_at=now)
    )
    booking.reach_bank(tx, payout, attempt.id, now)


def _returned(tx: Tx, payout: Any, attempt: Any, seen: SeenBankPayout) -> None:
    """The bank did not keep it: the attempt is over, and another one may follow."""
    now = business_now(tx)
    code = RETURNED_BY_BANK if seen.status == "failed" else f"bank_{seen.status}"
    why = seen.why or _WHY[seen.status]
    move = AttemptMove(
        "succeeded",
        "reversed",
        code,
        resolved=True,
        error_code=code,
        error_message=why,
        note={"outcome": seen.status, "bank": seen.bank, "why": why[:200]},
    )
    sending.move_attempt(tx, attempt.id, move)
    if not can(PAYOUT, payout.state, "returned"):
        # Its transfer was reversed in between: there is nothing to pay out again.
        return
    sending.move_payout(
        tx,
        payout.id,
        PayoutMove(payout.state, "returned", error_code=code, error_message=why, failed_at=now),
    )
    if payout.state == "paid":
        booking.leave_bank(tx, payout, attempt.id, now)
