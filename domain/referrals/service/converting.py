"""Who came by whose code, and which conversions count."""

from dataclasses import replace

from domain.referrals.loading import code_of
from domain.referrals.rules.codes import not_there
from domain.referrals.rules.conversions import (
    Conversion,
    Program,
    Refusal,
    Standing,
    available_at,
    code_refusal,
    refusal_of,
)
from domain.referrals.rules.rewards import History, reward_for
from domain.referrals.state import (
    AttributionState,
    BatchState,
    EarningRef,
    Incoming,
    Outcome,
    ReferrerState,
    TrackingState,
)


def attribute(state: BatchState, event: Incoming) -> Outcome:
    """Somebody came by a code: remember whose, and since when."""
    code = code_of(state, event)
    if code is None:
        return Refusal("code_not_found", not_there(event.data.code))
    program = state.programs[code.program_id]
    refusal = code_refusal(program, code, event.data.referred_user_id, event.time)
    if refusal:
        return refusal
    _note_email(state, event)
    known = _attribution(state, event, program)
    assert known is not None, "loaded, or added, for every code that can be used"
    # The first attribution stays; the same one told again, but earlier, opens the window earlier.
    if known.code_id == code.id and event.time < known.attributed_at:
        known.attributed_at, known.moved = event.time, True
    return None


def _attribution(state: BatchState, event: Incoming, program: Program) -> AttributionState | None:
    key = (event.merchant_id, program.id, event.data.referred_user_id)
    attribution = state.attributions.get(key)
    if attribution and attribution.made_by == event.inbox_id:
        attribution.made_by = None
    return attribution


def convert(state: BatchState, event: Incoming) -> Outcome:
    """Somebody bought: a tracking with what it earns, or a refusal."""
    data = event.data
    code = code_of(state, event)
    if code is None:
        named = not_there(data.code) if data.code else "no code, and no attribution is known"
        return Refusal("code_not_found", named)
    program = state.programs[code.program_id]
    conversion = Conversion(data.referred_user_id, data.amount, data.currency, event.time)
    attribution = _attribution(state, event, program)
    referrer = state.referrers.get((event.merchant_id, program.id, code.user_id))
    transaction = (event.merchant_id, data.transaction_id) if data.transaction_id else None
    follows = attribution is not None and attribution.code_id == code.id
    standing = Standing(
        attributed_at=min(attribution.attributed_at, event.time)
        if attribution and follows
        else event.time,
        rewarded=attribution.rewarded if attribution else 0,
        first_rewarded_at=attribution.first_rewarded_at if attribution else None,
        referrer_rewards=referrer.rewards if referrer else 0,
        known_transaction=transaction is not None and transaction in state.trackings,
    )
    used = state.code_uses.get(code.id, 0)
    if used:
        code = replace(code, uses=code.uses + used)
    refusal = refusal_of(program, code, conversion, standing)
    if refusal:
        return refusal
    tracking = _track(state, event, program, code.id, code.user_id, referrer)
    if transaction:
        state.trackings[transaction] = tracking
    if code.max_uses is not None:
        state.code_uses[code.id] = used + 1
    gave = tracking.amount_earned or tracking.referee_amount_earned
    if attribution is not None and gave and program.counts_referred:
        attribution.rewarded += 1
        attribution.first_rewarded_at = attribution.first_rewarded_at or event.time
        attribution.counted = True
    return None


def _track(
    state: BatchState,
    event: Incoming,
    program: Program,
    code_id: int,
    owner: str,
    referrer: ReferrerState | None,
) -> TrackingState:
    data = event.data
    period = state.period_of(program, referrer, event.time)
    counts = period or referrer
    history = History(counts.conversions, counts.volume) if counts else History()
    reward = reward_for(program.rule, amount=data.amount, history=history)
    referee = 0
    if program.referee_rate is not None and (
        data.amount is not None or not program.referee_rate.needs_amount
    ):
        referee = program.referee_rate.of(data.amount)
    if referrer:
        referrer.last_seq += 1
        referrer.conversions += 1
        referrer.volume += data.amount or 0
        referrer.rewards += 1 if reward.amount else 0
        referrer.changed = True
    if period:
        period.conversions += 1
        period.volume += data.amount or 0
        period.changed = True
    tracking = TrackingState(
        id=0,
        merchant_id=event.merchant_id,
        inbox_id=event.inbox_id,
        referrer_user_id=owner,
        referred_user_id=data.referred_user_id,
        code_id=code_id,
        program_id=program.id,
        program_version=program.version,
        transaction_id=data.transaction_id,
        transaction_amount=data.amount,
        amount_earned=reward.amount,
        referee_amount_earned=referee,
        currency=program.currency,
        converted_at=event.time,
        seq=referrer.last_seq if referrer else None,
        explanation=reward.explanation | {"version": program.version},
        new=True,
        # What an earlier event of the batch said; what one before it did is looked up with the rest.
        referred_email_hash=data.referred_email_hash
        or state.email_hashes.get((event.merchant_id, data.referred_user_id)),
    )
    due = available_at(program, event.time)
    if reward.amount:
        tracking.reward = EarningRef(0, owner, due, program.payout_method)
    if referee:
        tracking.referee_reward = EarningRef(0, data.referred_user_id, due, program.payout_method)
    state.new_trackings.append(tracking)
    _note_email(state, event)
    return tracking


def _note_email(state: BatchState, event: Incoming) -> None:
    if event.data.referred_email_hash is not None:
        user = (event.merchant_id, event.data.referred_user_id)
        state.email_hashes[user] = event.data.referred_email_hash
