"""Writing what a batch decided: multi-row statements, each table once."""

from datetime import UTC, date, datetime
from operator import add as add_up
from typing import Final

from domain.db import Tx
from domain.earnings.rules import EarningHold, NewEarning
from domain.referrals import answers_store, attribution_store, hold_store, period_store, store
from domain.referrals.loading import SOURCE
from domain.referrals.service.suspecting import find_holds
from domain.referrals.state import BatchState, Destinations, EarningRef, HoldState, TrackingState

REVERSAL_SOURCE: Final = "tracking_reversal"
"""``source_kind`` of a clawback's earning."""


def flush(tx: Tx, state: BatchState, destinations: Destinations) -> None:
    """Write the state of a batch; leaves in it what is owed and held because of it."""
    find_holds(tx, state, destinations)
    _flush_trackings(tx, state)
    _flush_reversals(tx, state)
    _flush_holds(tx, state)
    if state.code_uses:
        store.add_code_uses(tx, state.code_uses)
    referrers = [r for r in state.referrers.values() if r.changed]
    if referrers:
        store.update_referrer_states(
            tx, [(r.id, r.last_seq, r.conversions, r.volume, r.rewards) for r in referrers]
        )
    periods = [p for p in state.periods.values() if p.changed]
    if periods:
        period_store.update(
            tx, [(p.state_id, p.period, p.starts_at, p.conversions, p.volume) for p in periods]
        )
    moved = [(a.id, a.attributed_at) for a in state.attributions.values() if a.moved]
    if moved:
        attribution_store.move_attributions(tx, moved)
    counted = [
        (a.id, a.rewarded, a.first_rewarded_at) for a in state.attributions.values() if a.counted
    ]
    if counted:
        attribution_store.count_attributions(tx, counted)
    _count_days(tx, state)


def _flush_trackings(tx: Tx, state: BatchState) -> None:
    held = {id(h.tracking): h.kind for h in reversed(state.new_holds) if h.outcome is None}
    ids = store.reserve_tracking_ids(tx, len(state.new_trackings))
    for new_id, tracking in zip(ids, state.new_trackings, strict=True):
        tracking.id = new_id
        for ref, kind, amount in (
            (tracking.reward, "reward", tracking.amount_earned),
            (tracking.referee_reward, "referee_reward", tracking.referee_amount_earned),
        ):
            if ref is not None:
                ref.earning = earning_of(
                    tracking,
                    ref,
                    kind,
                    amount,
                    SOURCE,
                    new_id,
                    tracking.converted_at,
                    hold_reason=held.get(id(tracking)),
                )
                state.earnings.append(ref.earning)
    store.insert_trackings(tx, state.new_trackings)
    changed = [t for t in state.trackings.values() if t.changed and not t.new]
    if changed:
        store.update_trackings(
            tx,
            [
                (
                    t.id,
                    t.refunded_amount,
                    t.fully_refunded,
                    t.dispute_lost,
                    t.reversed_amount,
                    t.referee_reversed_amount,
                )
                for t in changed
            ],
        )


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
                r.kind,
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
                    earning_of(
                        r.tracking,
                        ref,
                        kind,
                        -amount,
                        REVERSAL_SOURCE,
                        new_id,
                        r.event.time,
                        reverses=ref.earning,
                    )
                )


def _flush_holds(tx: Tx, state: BatchState) -> None:
    """Write holds, and what they mean for earnings of before. (Those of this batch are born held.)

    Whoever else opens or closes a hold of these trackings holds the locks of their transactions too.
    """
    closed = [
        hold for t in state.trackings.values() for hold in t.disputes.values() if hold.changed
    ]
    stored = [hold for hold in closed if hold.id]
    if state.new_holds:
        hold_store.insert(tx, list(map(_hold_row, state.new_holds)))
    if stored:
        hold_store.close(tx, [(h.id, h.outcome or "", h.closed_at or h.held_at) for h in stored])
    touched = {
        hold.tracking.id: hold.tracking
        for hold in [*state.new_holds, *stored]
        if not hold.tracking.new
    }
    if not touched:
        return
    reasons = hold_store.open_reasons(tx, list(touched))
    for tracking in touched.values():
        for ref in (tracking.reward, tracking.referee_reward):
            if ref is not None and not ref.voided:
                assert isinstance(ref.earning, int), "recorded before"
                held_at, reason = reasons.get(tracking.id, (None, None))
                state.holds.append(EarningHold(ref.earning, held_at, reason))


def _count_days(tx: Tx, state: BatchState) -> None:
    """Add the batch to what its programs did: the last rows that it locks before the balances."""
    days: dict[tuple[int, date], list[int]] = {}

    def add(program_id: int, at: datetime, *values: int) -> None:
        key = (program_id, at.astimezone(UTC).date())
        before = days.get(key)
        days[key] = [*values] if before is None else [*map(add_up, before, values)]

    for t in state.new_trackings:
        volume, earned = t.transaction_amount or 0, t.amount_earned
        add(t.program_id, t.converted_at, 1, volume, earned, t.referee_amount_earned, 0, 0, 0, 0)
    for r in state.new_reversals:
        taken = (1, r.amount, r.reversed, r.referee_reversed)
        add(r.tracking.program_id, r.event.time, 0, 0, 0, 0, *taken)
    if days:
        answers_store.add_days(tx, [(*key, *values) for key, values in sorted(days.items())])


def _hold_row(hold: HoldState) -> tuple[object, ...]:
    return (
        hold.tracking.merchant_id,
        hold.tracking.id,
        hold.inbox_id,
        hold.kind,
        hold.ref,
        store.dumps(hold.evidence),
        hold.held_at,
        hold.outcome,
        hold.closed_at,
    )


def earning_of(
    tracking: TrackingState,
    ref: EarningRef,
    kind: str,
    amount: int,
    source_kind: str,
    source_id: int,
    occurred_at: datetime,
    *,
    reverses: NewEarning | int | None = None,
    hold_reason: str | None = None,
) -> NewEarning:
    """An earning of a tracking; ``reverses``: the one that a debit takes back."""
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
        hold_reason=hold_reason,
        reverses=reverses,
    )
