"""Loading a batch: a few set queries, locks in the global order (code, referrer, attribution)."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from domain.db import Tx
from domain.earnings import service as earnings
from domain.referrals import store
from domain.referrals.rules.conversions import Code, Program, code_refusal
from domain.referrals.rules.rewards import parse_rate, parse_rule
from domain.referrals.state import (
    AttributionState,
    BatchState,
    EarningRef,
    Incoming,
    ReferrerState,
    TrackingState,
)

SOURCE: Final = "tracking"
"""``source_kind`` of a reward's earning."""


def load(tx: Tx, events: Sequence[Incoming]) -> BatchState:
    """Load and lock all that ``events`` touch."""
    state = BatchState()
    _load_codes(tx, state, events)
    _load_trackings(tx, state, events)
    programs = {code.program_id for code in state.codes_by_id.values()}
    programs |= {t.program_id for t in state.trackings.values()}
    state.programs = {row.id: program_of(row) for row in store.share_programs(tx, programs)}
    _lock_limited_codes(tx, state)
    _lock_referrers(tx, state, events)
    _load_attributions(tx, state, events)
    return state


def code_of(state: BatchState, event: Incoming) -> Code | None:
    """The code that an event names, else the one remembered for its referred user."""
    name = event.data.code
    if name is not None:
        return state.codes.get((event.merchant_id, name))
    remembered = state.remembered.get((event.merchant_id, event.data.referred_user_id), [])
    known = [row for row in remembered if row.attributed_at <= event.time] or remembered
    return state.codes_by_id.get(known[-1].code_id) if known else None


def program_of(row: Any) -> Program:
    """A program from its row joined with its version."""
    return Program(
        id=row.id,
        version=row.version,
        status=row.status,
        rule=parse_rule(row.rule),
        referee_rate=parse_rate(row.referee_rule, "referee_rule") if row.referee_rule else None,
        currency=row.currency,
        hold_days=row.hold_days,
        window_days=row.window_days,
        max_rewards_per_referrer=row.max_rewards_per_referrer,
        min_amount=row.min_amount,
        payout_method=row.payout_method,
    )


def _code(row: Any) -> Code:
    return Code(
        row.id,
        row.code,
        row.program_id,
        row.user_id,
        row.status,
        row.max_uses,
        row.uses,
        row.expires_at,
    )


def _uses_code(events: Iterable[Incoming]) -> list[Incoming]:
    return [e for e in events if e.type in ("conversion.recorded", "conversion.attributed")]


def _load_codes(tx: Tx, state: BatchState, events: Sequence[Incoming]) -> None:
    using = _uses_code(events)
    named = {(e.merchant_id, e.data.code) for e in using if e.data.code is not None}
    unnamed = {(e.merchant_id, e.data.referred_user_id) for e in using if e.data.code is None}
    for row in store.codes_by_name(tx, named):
        code = _code(row)
        state.codes[row.merchant_id, row.code] = code
        state.codes_by_id[row.id] = code
    if not unnamed:
        return
    for row in store.attributions_of_users(tx, unnamed):
        state.remembered.setdefault((row.merchant_id, row.referred_user_id), []).append(row)
    wanted = {row.code_id for rows in state.remembered.values() for row in rows}
    for row in store.codes_by_id(tx, wanted - set(state.codes_by_id)):
        state.codes_by_id[row.id] = _code(row)


def _load_trackings(tx: Tx, state: BatchState, events: Sequence[Incoming]) -> None:
    keys = {
        (e.merchant_id, e.data.transaction_id)
        for e in events
        if getattr(e.data, "transaction_id", None) is not None
    }
    if not keys:
        return
    columns = [c for c in store.TRACKING_COLUMNS if c != "id"]
    by_id: dict[int, TrackingState] = {}
    for row in store.trackings_by_transaction(tx, keys):
        tracking = TrackingState(id=row.id, **{c: getattr(row, c) for c in columns})
        state.trackings[row.merchant_id, row.transaction_id] = by_id[row.id] = tracking
    if not by_id:
        return
    for row in store.reversal_ids(tx, list(by_id)):
        by_id[row.tracking_id].refund_ids.add(row.external_id)
    for row in earnings.by_source(tx, SOURCE, list(by_id)):
        ref = EarningRef(row.id, row.user_id, row.available_at, row.hold_reason, row.method)
        if row.kind == "reward":
            by_id[row.source_id].reward = ref
        else:
            by_id[row.source_id].referee_reward = ref


def _lock_limited_codes(tx: Tx, state: BatchState) -> None:
    limited = [code.id for code in state.codes_by_id.values() if code.max_uses is not None]
    if not limited:
        return
    for row in store.codes_by_id(tx, limited, lock=True):
        code = _code(row)
        state.codes_by_id[code.id] = code
        if (row.merchant_id, code.code) in state.codes:
            state.codes[row.merchant_id, code.code] = code


def _lock_referrers(tx: Tx, state: BatchState, events: Sequence[Incoming]) -> None:
    keys: set[tuple[int, int, str, int]] = set()
    for event in events:
        if event.type == "conversion.recorded":
            code = code_of(state, event)
            owner, program_id = (code.user_id, code.program_id) if code else ("", 0)
        elif event.type == "conversion.refunded":
            found = state.trackings.get((event.merchant_id, event.data.transaction_id))
            owner, program_id = (found.referrer_user_id, found.program_id) if found else ("", 0)
        else:
            continue
        program = state.programs.get(program_id)
        if program is not None and program.needs_order:
            keys.add((event.merchant_id, program.id, owner, program.version))
    if not keys:
        return
    for row in store.lock_referrer_states(tx, keys):
        state.referrers[row.merchant_id, row.program_id, row.user_id] = ReferrerState(
            row.id, row.last_seq, row.conversions, row.volume, row.rewards
        )


def _load_attributions(tx: Tx, state: BatchState, events: Sequence[Incoming]) -> None:
    wanted: dict[tuple[int, int, str], tuple[int, Any]] = {}
    for event in _uses_code(events):
        code = code_of(state, event)
        if code is None:
            continue
        referred = event.data.referred_user_id
        program = state.programs[code.program_id]
        if code_refusal(program, code, referred, event.time) is None:
            wanted.setdefault((event.merchant_id, code.program_id, referred), (code.id, event.time))
    if not wanted:
        return
    counted = [p.id for p in state.programs.values() if p.counts_referred]
    rows = store.attributions(tx, wanted, lock_programs=counted)
    missing = set(wanted) - {(r.merchant_id, r.program_id, r.referred_user_id) for r in rows}
    if missing:
        store.add_attributions(tx, [(*key, *wanted[key]) for key in missing])
        rows = store.attributions(tx, wanted, lock_programs=counted)
    for row in rows:
        state.attributions[row.merchant_id, row.program_id, row.referred_user_id] = (
            AttributionState(
                row.id, row.code_id, row.attributed_at, row.rewarded, row.first_rewarded_at
            )
        )
