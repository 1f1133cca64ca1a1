"""A person says what a bank did with a payout out of a bank file."""

from collections.abc import Mapping
from typing import Any

from domain.clock import business_now
from domain.db import Tx
from domain.payouts.errors import NoSuchPayout, NotMarkable
from domain.payouts.rules.statements import paid_earlier
from domain.payouts.rules.words import MAX_REFERENCE, line
from domain.payouts.service import booking
from domain.payouts.service.bank_files import PLATFORM
from domain.payouts.service.sending import LEG
from domain.payouts.store import bank_leg, statements
from domain.payouts.store import sending as store
from domain.payouts.store.sending import AttemptMove, PayoutMove


def mark_paid(tx: Tx, payout_id: int, *, reference: str) -> bool:
    """The bank has paid: the payout is paid, under the bank's ``reference``.

    False if it was marked so before. Raises NoSuchPayout, Invalid, or NotMarkable for one that no bank
    file carries, or that was paid under another reference.
    """
    reference = line("reference", reference, MAX_REFERENCE)
    payout = _lock(tx, payout_id)
    if payout.state == "paid" and payout.external_transaction_id == reference:
        return False
    attempt = _exported(tx, payout)
    settle_paid(tx, payout, attempt.id, reference=reference, outcome="marked paid")
    return True


def mark_failed(tx: Tx, payout_id: int, *, reason: str) -> None:
    """The bank has refused: the payout is failed and its money reserved again.

    It is exported again only after a retry, or canceled. Raises NoSuchPayout, Invalid, NotMarkable.
    """
    reason = line("reason", reason)
    payout = _lock(tx, payout_id)
    attempt = _exported(tx, payout)
    settle_refused(tx, payout, attempt.id, reason=reason, outcome="marked failed")


def settle_paid(
    tx: Tx,
    payout: Any,
    attempt_id: int,
    *,
    reference: str,
    outcome: str,
    note: Mapping[str, Any] | None = None,
) -> None:
    """The attempt of a payout in transit, whose lock the caller holds, has paid it."""
    now = business_now(tx)
    store.move_attempt(
        tx,
        attempt_id,
        AttemptMove(
            "sending", "succeeded", outcome, resolved=True, external_id=reference, note=note
        ),
    )
    store.move_payout(
        tx,
        payout.id,
        PayoutMove("in_transit", "paid", external_id=reference, processed_at=now),
    )
    booking.pay(tx, payout, attempt_id, now)


def settle_refused(
    tx: Tx,
    payout: Any,
    attempt_id: int,
    *,
    reason: str,
    outcome: str,
    note: Mapping[str, Any] | None = None,
) -> None:
    """The bank has refused the attempt of a payout in transit, whose lock the caller holds.

    If a statement showed that the bank paid an earlier attempt, the payout is stopped: it is paid.
    """
    now = business_now(tx)
    store.move_attempt(
        tx,
        attempt_id,
        AttemptMove("sending", "failed", outcome, resolved=True, error_message=reason, note=note),
    )
    store.move_payout(
        tx,
        payout.id,
        PayoutMove(
            "in_transit", "failed", error_code="bank_refused", error_message=reason, failed_at=now
        ),
    )
    booking.fail(tx, payout, attempt_id, now)
    earlier = statements.shown_paid(tx, payout.id)
    if earlier is not None:
        bank_leg.freeze(tx, payout.id, paid_earlier(earlier))


def _lock(tx: Tx, payout_id: int) -> Any:
    payout = store.lock_payout(tx, payout_id)
    if payout is None:
        raise NoSuchPayout("payout", payout_id)
    return payout


def _exported(tx: Tx, payout: Any) -> Any:
    """The attempt of an exported payout that waits for the bank's word. Raises NotMarkable."""
    if payout.frozen_reason is not None:
        raise NotMarkable(payout.id, f"it is stopped ({payout.frozen_reason})")
    attempt = store.latest_attempt(tx, payout.id, LEG)
    waits = attempt.id is not None and attempt.state == "sending"
    if payout.state != "in_transit" or not waits or attempt.platform_account != PLATFORM:
        raise NotMarkable(payout.id, f"it is {payout.state}, and no bank file waits for an answer")
    return attempt
