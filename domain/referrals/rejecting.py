"""What a person rejects: it is void where no payout has it, taken back where one has, and counts no more.

It is as if the conversion had never come, for all that is decided from now on: tiers, caps, a code's
``max_uses``, what a referred user was rewarded for. What was decided while it counted stays as it is.
"""

from datetime import datetime
from typing import Any

from domain.clock import business_now
from domain.db import Tx
from domain.earnings import service as earnings
from domain.earnings.rules import REJECTION, EarningHold, NewEarning
from domain.earnings.service import InUse
from domain.referrals import answers_store, hold_store, rejecting_store, store
from domain.referrals.loading import SOURCE
from domain.referrals.service.flushing import REVERSAL_SOURCE


def reject_tracking(tx: Tx, tracking_id: int, hold_id: int) -> list[int]:
    """Take back what a tracking earned on both sides, whose transaction's lock the caller holds.

    Returns the payouts that have a part of it. One that was not sent will be canceled instead, and the rest
    of it is due with the next run; of one that was, the next payout of that payee takes it back.
    """
    now = business_now(tx)
    row = rejecting_store.tracking(tx, tracking_id)
    # In the order in which a batch locks them, so that neither waits for the other in a ring.
    store.lock_program_terms(tx, [row.program_id], shared=True)
    row = rejecting_store.tracking(tx, tracking_id)
    rejecting_store.give_use_back(tx, row.code_id)
    rejecting_store.uncount(tx, row)
    rejecting_store.forget_rewards(tx, row)
    rejecting_store.mark(tx, tracking_id)
    taken = (0, row.kept, row.referee_kept)
    said = (row.merchant_id, row.id, row.inbox_id, REJECTION, str(hold_id), *taken, now)
    [reversal_id] = store.insert_reversals(tx, [said])
    answers_store.add_days(tx, [(row.program_id, now.date(), 0, 0, 0, 0, 1, *taken)])
    # A payout that has it and was not sent yet is canceled for it; see ``earnings.release`` for what follows.
    # Where only debits of it are in payouts, it is owed against them, when no dispute holds it.
    still = hold_store.open_reasons(tx, [row.id]).get(row.id, (None, None))
    in_use = earnings.void(tx, SOURCE, tracking_id, now)
    earnings.record(
        tx,
        [_clawback(row, one, reversal_id, now) for one in in_use if one.left],
        holds=[
            EarningHold(one.earning_id, *(still if one.payout_id is None else (now, REJECTION)))
            for one in in_use
        ],
    )
    return sorted({one.payout_id for one in in_use if one.payout_id is not None})


def _clawback(row: Any, one: InUse, reversal_id: int, now: datetime) -> NewEarning:
    return NewEarning(
        merchant_id=row.merchant_id,
        user_id=one.user_id,
        currency=row.currency,
        amount=-one.left,
        kind="clawback" if one.kind == "reward" else "referee_clawback",
        source_kind=REVERSAL_SOURCE,
        source_id=reversal_id,
        available_at=one.available_at,
        occurred_at=now,
        method=one.method,
        reverses=one.earning_id,
    )
