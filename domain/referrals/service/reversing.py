"""Refunds and disputes: what they take back, and what they hold meanwhile.

Both share one cumulative target, capped at what was earned, so that their order changes no amount: a
refund after a lost dispute is counted and takes nothing, a lost dispute after refunds takes the rest.
"""

from typing import Final

from domain.referrals.rules.conversions import Refusal
from domain.referrals.rules.refunds import to_take
from domain.referrals.state import (
    BatchState,
    HoldState,
    Incoming,
    NewReversal,
    Noted,
    Outcome,
    TrackingState,
    Waiting,
    transaction_correlation,
)

DISPUTE: Final = "dispute"
"""Kind of a dispute's hold and of its reversal."""


def refund(state: BatchState, event: Incoming, refused: set[tuple[int, str]]) -> Outcome:
    """A part of a purchase was given back, or all of it."""
    data = event.data
    tracking = _tracking(state, event, refused)
    if not isinstance(tracking, TrackingState):
        return tracking
    if data.refund_id in tracking.refund_ids:
        return Refusal("duplicate_refund", f"the refund {data.refund_id} was counted before")
    if data.currency is not None and data.currency != tracking.currency:
        return Refusal(
            "currency_mismatch",
            f"the transaction is in {tracking.currency.upper()}, the refund in {data.currency.upper()}",
        )
    if tracking.fully_refunded:
        return Refusal("refund_exceeds_transaction", "the transaction was fully refunded before")
    total, before = tracking.transaction_amount, tracking.refunded_amount
    if total is None and not data.full:
        return Refusal(
            "full_refund_required", "the conversion had no amount: send full: true to reverse it"
        )
    part = (total or 0) - before if data.full else data.amount
    if total is not None and part > total - before:
        return Refusal(
            "refund_exceeds_transaction",
            f"{part} is more than the {total - before} (minor units) not refunded yet",
        )
    tracking.refund_ids.add(data.refund_id)
    _reverse(state, event, tracking, part, full=bool(data.full or before + part == total))
    return None


def dispute(state: BatchState, event: Incoming, refused: set[tuple[int, str]]) -> Outcome:
    """A purchase is disputed: opened holds what was earned, won lets it go, lost takes it back.

    Won and lost are final: what was decided before it was heard of as opened is not opened again.
    """
    data = event.data
    tracking = _tracking(state, event, refused)
    if not isinstance(tracking, TrackingState):
        return tracking
    known = tracking.disputes.get(data.dispute_id)
    said = None if data.outcome == "opened" else data.outcome
    if known is None:
        known = HoldState(tracking, DISPUTE, data.dispute_id, event.inbox_id, event.time)
        tracking.disputes[data.dispute_id] = known
        state.new_holds.append(known)
    elif said is None:
        return None
    elif known.outcome is not None:
        if known.outcome == said:
            return Refusal("duplicate_dispute", f"the dispute {data.dispute_id} was {said} already")
        return Refusal(
            "dispute_decided",
            f"the dispute {data.dispute_id} was {known.outcome} before, which is final",
        )
    if said is not None:
        known.outcome, known.closed_at, known.changed = said, event.time, True
    if said == "lost":
        _reverse(state, event, tracking, 0, lost=True)
    return None


def _tracking(
    state: BatchState, event: Incoming, refused: set[tuple[int, str]]
) -> TrackingState | Noted | Waiting:
    key = (event.merchant_id, event.data.transaction_id)
    tracking = state.trackings.get(key)
    if tracking is not None:
        return tracking
    # A refused conversion has nothing to reverse (yet); an unknown one may still arrive.
    correlation = transaction_correlation(event.data.transaction_id)
    return Noted("nothing_to_reverse", correlation) if key in refused else Waiting(correlation)


def _reverse(
    state: BatchState,
    event: Incoming,
    tracking: TrackingState,
    part: int,
    *,
    full: bool = False,
    lost: bool = False,
) -> None:
    counted_before = tracking.counts
    volume_before = tracking.volume
    tracking.refunded_amount += part
    tracking.fully_refunded |= full
    tracking.dispute_lost |= lost
    tracking.changed = True

    def takes(earned: int, taken: int) -> int:
        return to_take(
            earned=earned,
            taken=taken,
            total=tracking.transaction_amount,
            refunded=tracking.refunded_amount,
            whole=not tracking.counts,
        )

    reversal = NewReversal(
        tracking,
        event,
        DISPUTE if lost else "refund",
        event.data.dispute_id if lost else event.data.refund_id,
        part,
        takes(tracking.amount_earned, tracking.reversed_amount),
        takes(tracking.referee_amount_earned, tracking.referee_reversed_amount),
    )
    tracking.reversed_amount += reversal.reversed
    tracking.referee_reversed_amount += reversal.referee_reversed
    state.new_reversals.append(reversal)
    referrer = state.referrers.get(
        (tracking.merchant_id, tracking.program_id, tracking.referrer_user_id)
    )
    program = state.programs[tracking.program_id]
    period = state.period_of(program, referrer, tracking.converted_at)
    ends = counted_before and not tracking.counts
    if referrer and ends and tracking.amount_earned:
        referrer.rewards -= 1
    for counts in (referrer, period):
        if counts:  # reversals lower later counts only
            counts.volume -= volume_before - tracking.volume
            counts.conversions -= 1 if ends else 0
            counts.changed = True
