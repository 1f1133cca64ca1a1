"""A person has a payout tried again."""

from domain.db import Tx
from domain.payouts.errors import NoSuchPayout, NotRetryable
from domain.payouts.rules.attempts import LOST_AFTER
from domain.payouts.rules.bank_leg import BANK
from domain.payouts.rules.outside import SAID
from domain.payouts.service import shortfalls
from domain.payouts.service.sending import IMMEDIATELY, ask
from domain.payouts.service.sweeping import ask_again
from domain.payouts.store import sending as store
from domain.payouts.store.sending import PayoutMove


def retry(tx: Tx, payout_id: int) -> None:
    """Let a failed payout be sent again now, under a new attempt; or let one whose message is a dead
    letter be asked for again, as it is. One whose money waits on a connected account is paid out to the
    bank again: its transfer is never made again.

    Raises NoSuchPayout, or NotRetryable for any other state: an unknown one is resolved, never retried.
    """
    payout = store.lock_payout(tx, payout_id)
    if payout is None:
        raise NoSuchPayout("payout", payout_id)
    if payout.frozen_reason is not None:
        raise NotRetryable(payout_id, f"stopped ({payout.frozen_reason})")
    if payout.parked_reason == SAID:
        raise NotRetryable(payout_id, f"{payout.state}, and {SAID}")
    if ask_again(tx, payout):
        return
    if payout.bank_leg and payout.state in ("in_transit", "returned"):
        if store.latest_attempt(tx, payout_id, BANK).id is not None:
            raise NotRetryable(payout_id, "on its way to the bank")
    elif payout.state != "failed":
        raise NotRetryable(payout_id, f"{payout.state}, not failed")
    else:
        shortfalls.let_pass(tx, payout)
    store.move_payout(
        tx,
        payout_id,
        PayoutMove(
            payout.state,
            payout.state,
            next_try=IMMEDIATELY,
            look=LOST_AFTER,
            error_code=payout.error_code,
            error_message=payout.error_message,
        ),
    )
    ask(tx, payout.merchant_id, "payouts.send", {"payout_id": payout_id}, IMMEDIATELY)
