"""Use cases of referrals: apply a batch of conversion events (load, decide in order, flush)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from domain.db import Tx
from domain.earnings.rules import NewEarning
from domain.referrals import attribution_store, loading, store
from domain.referrals.loading import SOURCE, code_of
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
from domain.referrals.rules.refunds import take_back
from domain.referrals.rules.rewards import History, reward_for
from domain.referrals.state import (
    AttributionState,
    BatchState,
    EarningRef,
    Incoming,
    NewReversal,
    Noted,
    Outcome,
    ReferrerState,
    TrackingState,
    Waiting,
    transaction_correlation,
)

REVERSAL_SOURCE: Final = "tracking_reversal"
"""``source_kind`` of a clawback's earning."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of each event, in order, and what is owed because of it (to be recorded last)."""

    outcomes: list[Outcome]
    earnings: list[NewEarning]


def apply(tx: Tx, events: Sequence[Incoming], refused_before: set[tuple[int, str]]) -> Applied:
    """Apply conversion events in order, in a few set queries.

    The caller holds the advisory locks of the events' transactions and records the earnings at the end
    of its transaction. ``refused_before`` names (merchant, transaction) whose conversion was refused.
    Returns one outcome for each event; a refusal is a value, never an exception.
    """
    if not events:
        return Applied([], [])
    state = loading.load(tx, events)
    refused = set(refused_before)
    outcomes: list[Outcome] = [None] * len(events)
    idle: dict[tuple[int, str], list[int]] = {}
    for position, event in enumerate(events):
        outcome = outcomes[position] = _APPLY[event.type](state, event, refused)
        transaction = (event.merchant_id, getattr(event.data, "transaction_id", None) or "")
        if isinstance(outcome, Waiting | Noted):
            idle.setdefault(transaction, []).append(position)
        elif event.type == "conversion.recorded":
            if isinstance(outcome, Refusal) and transaction not in state.trackings:
                refused.add(transaction)
            # What had nothing to reverse follows this conversion at once, in the order in which it
            # happened; while that is refused, it stays.
            followers = sorted(idle.get(transaction, []), key=lambda i: events[i].order)
            for follower in followers:
                outcomes[follower] = _refund(state, events[follower], refused)
            if transaction in state.trackings:
                idle.pop(transaction, None)
    _flush(tx, state)
    return Applied(outcomes, state.earnings)


def _attribute(state: BatchState, event: Incoming, _refused: set[tuple[int, str]]) -> Outcome:
    code = code_of(state, event)
    if code is None:
        return Refusal("code_not_found", not_there(event.data.code))
    program = state.programs[code.program_id]
    refusal = code_refusal(program, code, event.data.referred_user_id, event.time)
    if refusal:
        return refusal
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


def _convert(state: BatchState, event: Incoming, _refused: set[tuple[int, str]]) -> Outcome:
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
    if attribution is not None and tracking.amount_earned and program.counts_referred:
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
    history = History(referrer.conversions, referrer.volume) if referrer else History()
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
    )
    due = available_at(program, event.time)
    if reward.amount:
        tracking.reward = EarningRef(0, owner, due, None, program.payout_method)
    if referee:
        tracking.referee_reward = EarningRef(
            0, data.referred_user_id, due, None, program.payout_method
        )
    state.new_trackings.append(tracking)
    return tracking


def _refund(state: BatchState, event: Incoming, refused: set[tuple[int, str]]) -> Outcome:
    data = event.data
    key = (event.merchant_id, data.transaction_id)
    tracking = state.trackings.get(key)
    if tracking is None:
        # A refused conversion has nothing to reverse (yet); an unknown one may still arrive.
        correlation = transaction_correlation(data.transaction_id)
        return Noted("nothing_to_reverse", correlation) if key in refused else Waiting(correlation)
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
    _reverse(state, event, tracking, part)
    return None


def _reverse(state: BatchState, event: Incoming, tracking: TrackingState, part: int) -> None:
    total, before = tracking.transaction_amount, tracking.refunded_amount
    full = event.data.full or before + part == total

    def takes(earned: int, taken: int) -> int:
        if full or not total:
            return earned - taken
        return take_back(earned=earned, total=total, refunded=before, taken=taken, part=part)

    reversal = NewReversal(
        tracking,
        event,
        event.data.refund_id,
        part,
        takes(tracking.amount_earned, tracking.reversed_amount),
        takes(tracking.referee_amount_earned, tracking.referee_reversed_amount),
    )
    tracking.refunded_amount += part
    tracking.fully_refunded = bool(full)
    tracking.reversed_amount += reversal.reversed
    tracking.referee_reversed_amount += reversal.referee_reversed
    tracking.refund_ids.add(reversal.external_id)
    tracking.changed = True
    state.new_reversals.append(reversal)
    referrer = state.referrers.get(
        (tracking.merchant_id, tracking.program_id, tracking.referrer_user_id)
    )
    if referrer:  # reversals lower later counts only
        referrer.volume -= part
        referrer.conversions -= 1 if full else 0
        referrer.rewards -= 1 if full and tracking.amount_earned else 0
        referrer.changed = True


_APPLY: Final[Mapping[str, Callable[[BatchState, Incoming, set[tuple[int, str]]], Outcome]]] = {
    "conversion.attributed": _attribute,
    "conversion.recorded": _convert,
    "conversion.refunded": _refund,
}

TYPES: Final = frozenset(_APPLY)
"""The event types that this subject applies."""


def _flush(tx: Tx, state: BatchState) -> None:
    ids = store.reserve_tracking_ids(tx, len(state.new_trackings))
    for new_id, tracking in zip(ids, state.new_trackings, strict=True):
        tracking.id = new_id
        for ref, kind, amount in (
            (tracking.reward, "reward", tracking.amount_earned),
            (tracking.referee_reward, "referee_reward", tracking.referee_amount_earned),
        ):
            if ref is not None:
                ref.earning = _earning(
                    tracking, ref, kind, amount, SOURCE, new_id, tracking.converted_at
                )
                state.earnings.append(ref.earning)
    store.insert_trackings(tx, state.new_trackings)
    _flush_reversals(tx, state)
    changed = [t for t in state.trackings.values() if t.changed and not t.new]
    if changed:
        store.update_trackings(
            tx,
            [
                (
                    t.id,
                    t.refunded_amount,
                    t.fully_refunded,
                    t.reversed_amount,
                    t.referee_reversed_amount,
                )
                for t in changed
            ],
        )
    if state.code_uses:
        store.add_code_uses(tx, state.code_uses)
    referrers = [r for r in state.referrers.values() if r.changed]
    if referrers:
        store.update_referrer_states(
            tx, [(r.id, r.last_seq, r.conversions, r.volume, r.rewards) for r in referrers]
        )
    moved = [(a.id, a.attributed_at) for a in state.attributions.values() if a.moved]
    if moved:
        attribution_store.move_attributions(tx, moved)
    counted = [
        (a.id, a.rewarded, a.first_rewarded_at) for a in state.attributions.values() if a.counted
    ]
    if counted:
        attribution_store.count_attributions(tx, counted)


def _flush_reversals(tx: Tx, state: BatchState) -> None:
    if not state.new_reversals:
        return
    ids = store.insert_reversals(
        tx,
        [
            (
                r.tracking.merchant_id,
                r.tracking.id,
                r.event.inbox_id,
                "refund",
                r.external_id,
                r.amount,
                r.reversed,
                r.referee_reversed,
                r.event.time,
            )
            for r in state.new_reversals
        ],
    )
    for new_id, r in zip(ids, state.new_reversals, strict=True):
        for ref, kind, amount in (
            (r.tracking.reward, "clawback", r.reversed),
            (r.tracking.referee_reward, "referee_clawback", r.referee_reversed),
        ):
            if ref is not None and amount:
                state.earnings.append(
                    _earning(
                        r.tracking,
                        ref,
                        kind,
                        -amount,
                        REVERSAL_SOURCE,
                        new_id,
                        r.event.time,
                        ref.earning,
                    )
                )


def _earning(
    tracking: TrackingState,
    ref: EarningRef,
    kind: str,
    amount: int,
    source_kind: str,
    source_id: int,
    occurred_at: datetime,
    reverses: NewEarning | int | None = None,
) -> NewEarning:
    return NewEarning(
        merchant_id=tracking.merchant_id,
        user_id=ref.user_id,
        currency=tracking.currency,
        amount=amount,
        kind=kind,
        source_kind=source_kind,
        source_id=source_id,
        available_at=ref.available_at,
        occurred_at=occurred_at,
        method=ref.method,
        hold_reason=ref.hold_reason,
        reverses=reverses,
    )
