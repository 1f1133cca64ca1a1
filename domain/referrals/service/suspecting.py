"""What of a batch's conversions is held because it may be fraud, with the evidence.

It is found before anything is written, so that a suspect earning is born held. All of it is decided by
what the batch and a few set queries say; nothing is looked up for one event alone.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from domain.db import Tx
from domain.referrals import fraud_store
from domain.referrals.rules.holds import (
    SAME_EMAIL,
    SHARED_DESTINATION,
    VELOCITY,
    HoldPolicy,
    Limit,
    begins,
    by_subject,
)
from domain.referrals.state import BatchState, Destinations, HoldState, TrackingState


def find_holds(tx: Tx, state: BatchState, destinations: Destinations) -> None:
    """Add to ``state`` the holds of its new trackings, and note what they count for later ones."""
    new = [t for t in state.new_trackings if not t.imported]
    _same_email(tx, state, new)
    _shared_destination(tx, state, new, destinations)
    _velocity(tx, state, new)


def _policy(state: BatchState, tracking: TrackingState) -> HoldPolicy:
    return state.programs[tracking.program_id].holds


def _hold(
    state: BatchState, tracking: TrackingState, kind: str, evidence: dict[str, Any], ref: str = ""
) -> None:
    if tracking.reward is None and tracking.referee_reward is None:
        return  # there is nothing to hold
    state.new_holds.append(
        HoldState(tracking, kind, ref, tracking.inbox_id, tracking.converted_at, evidence)
    )


def _same_email(tx: Tx, state: BatchState, new: Sequence[TrackingState]) -> None:
    if not state.email_hashes:
        return
    looked_at = [t for t in new if t.referred_email_hash and _policy(state, t).same_email]
    known = fraud_store.email_hashes(tx, {(t.merchant_id, t.referrer_user_id) for t in looked_at})
    known |= state.email_hashes
    for t in looked_at:
        if known.get((t.merchant_id, t.referrer_user_id)) == t.referred_email_hash:
            _hold(
                state,
                t,
                SAME_EMAIL,
                {
                    "referrer": t.referrer_user_id,
                    "referred": t.referred_user_id,
                    "email_hash": t.referred_email_hash,
                },
            )
    fraud_store.put_email_hashes(tx, state.email_hashes)


def _shared_destination(
    tx: Tx, state: BatchState, new: Sequence[TrackingState], destinations: Destinations
) -> None:
    looked_at = [t for t in new if _policy(state, t).shared_destination]
    if not looked_at:
        return
    users = {
        (t.merchant_id, u) for t in looked_at for u in (t.referrer_user_id, t.referred_user_id)
    }
    paid_at = destinations(tx, users)
    for t in looked_at:
        mine = paid_at.get((t.merchant_id, t.referrer_user_id))
        if mine is not None and mine == paid_at.get((t.merchant_id, t.referred_user_id)):
            _hold(
                state,
                t,
                SHARED_DESTINATION,
                {"referrer": t.referrer_user_id, "referred": t.referred_user_id},
            )


def _velocity(tx: Tx, state: BatchState, new: Sequence[TrackingState]) -> None:
    counted: list[tuple[TrackingState, Sequence[Limit], tuple[fraud_store.Day, int]]] = []
    limited = {program.id: by_subject(program.holds) for program in state.programs.values()}
    for t in new:
        at = t.converted_at.astimezone(UTC)
        for per, its_limits in limited[t.program_id]:
            subject = str(t.code_id) if per == "code" else t.referrer_user_id
            day = fraud_store.Day(t.program_id, per, subject, at.date())
            counted.append((t, its_limits, (day, at.hour)))
    if not counted:
        return
    here = Counter(key for _, _, key in counted)
    # The rows are locked by this, until the end: each conversion has a place of its own in each span.
    reached = fraud_store.count(tx, here)
    in_hours = {key: reached[key].in_hour - number for key, number in here.items()}
    in_days = {key[0]: one.in_day for key, one in reached.items()}
    for key, number in here.items():
        in_days[key[0]] -= number
    for t, of_subject, key in counted:
        in_hours[key] += 1
        in_days[key[0]] += 1
        for limit in of_subject:
            place = in_hours[key] if limit.span == "hour" else in_days[key[0]]
            if place > limit.most:
                evidence = {
                    "per": limit.per,
                    "span": limit.span,
                    "from": begins(limit.span, t.converted_at).isoformat(),
                    "limit": limit.most,
                    "conversion": place,
                }
                _hold(state, t, VELOCITY, evidence, ref=f"{limit.per}/{limit.span}")
