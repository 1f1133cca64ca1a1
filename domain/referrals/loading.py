"""Loading a batch: a few set queries, locks in the global order (code, referrer, attribution)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from domain.db import Tx
from domain.earnings import service as earnings
from domain.referrals import attribution_store, hold_store, period_store, store
from domain.referrals.rules.conversions import Code, Program, code_refusal
from domain.referrals.rules.holds import HoldPolicy
from domain.referrals.rules.periods import begins, ends
from domain.referrals.rules.rewards import parse_rate, parse_rule
from domain.referrals.state import (
    AttributionState,
    BatchState,
    EarningRef,
    HoldState,
    Incoming,
    PeriodState,
    ReferrerState,
    TrackingState,
)

SOURCE: Final = "tracking"
"""``source_kind`` of a reward's earning."""


def load(tx: Tx, events: Sequence[Incoming]) -> BatchState:
    """Load and lock all that ``events`` touch."""
    state = load_but_attributions(tx, events)
    load_attributions(tx, state, events)
    return state


def load_but_attributions(tx: Tx, events: Sequence[Incoming]) -> BatchState:
    """Load and lock what comes before attributions in the lock order."""
    state = BatchState()
    _load_codes(tx, state, events)
    _load_trackings(tx, state, events)
    programs = {code.program_id for code in state.codes_by_id.values()}
    programs |= {t.program_id for t in state.trackings.values()}
    state.programs = {row.id: program_of(row) for row in store.share_programs(tx, programs)}
    _lock_limited_codes(tx, state)
    _lock_referrers(tx, state, events)
    if any(program.period for program in state.programs.values()):
        _load_periods(tx, state, events)
    return state


def code_of(state: BatchState, event: Incoming) -> Code | None:
    """The code that an event names, else the newest that its referred user came by until then."""
    if event.data.code is not None:
        return state.codes.get((event.merchant_id, event.data.code))
    seen = state.remembered.get((event.merchant_id, event.data.referred_user_id), [])
    known = [a for a in seen if a.made_by is None]
    if not known:
        return None
    before = [a for a in known if a.attributed_at <= event.time]
    newest = max(before or known, key=lambda a: (a.attributed_at, a.program_id))
    return state.codes_by_id[newest.code_id]


def program_of(row: Any, id: int | None = None) -> Program:
    """A program from its row joined with its version; ``id`` where the row's own is another's."""
    return Program(
        id=row.id if id is None else id,
        version=row.version,
        status=row.program_status,
        rule=parse_rule(row.rule),
        referee_rate=parse_rate(row.referee_rule, "referee_rule") if row.referee_rule else None,
        currency=row.currency,
        hold_days=row.hold_days,
        window_days=row.window_days,
        max_rewards_per_referrer=row.max_rewards_per_referrer,
        min_amount=row.min_amount,
        payout_method=row.payout_method,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        holds=HoldPolicy() if row.same_email is None else policy_of(row),
    )


def policy_of(row: Any) -> HoldPolicy:
    """A hold policy from its row."""
    return HoldPolicy(
        row.same_email,
        row.shared_destination,
        row.code_per_hour,
        row.code_per_day,
        row.referrer_per_hour,
        row.referrer_per_day,
    )


def code_from(row: Any) -> Code:
    """A code from its row."""
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
    for row in store.codes_by_name(tx, named):
        code = code_from(row)
        state.codes[row.merchant_id, row.code] = code
        state.codes_by_id[row.id] = code
    unnamed = {(e.merchant_id, e.data.referred_user_id) for e in using if e.data.code is None}
    if not unnamed:
        return
    state.candidates = {user: set() for user in unnamed}
    for event in using:
        user = (event.merchant_id, event.data.referred_user_id)
        code_named = state.codes.get((event.merchant_id, event.data.code or ""))
        if user in unnamed and code_named:
            state.candidates[user].add(code_named.id)
    for row in attribution_store.attributed_codes(tx, unnamed):
        state.candidates[row.merchant_id, row.referred_user_id].add(row.code_id)
    wanted = set[int]().union(*state.candidates.values())
    for row in store.codes_by_id(tx, wanted - set(state.codes_by_id)):
        state.codes_by_id[row.id] = code_from(row)


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
    for row in store.refund_ids(tx, list(by_id)):
        by_id[row.tracking_id].refund_ids.add(row.external_id)
    if any(event.type == "conversion.disputed" for event in events):
        for row in hold_store.disputes(tx, list(by_id)):
            tracking = by_id[row.tracking_id]
            tracking.disputes[row.ref] = HoldState(
                tracking,
                row.kind,
                row.ref,
                row.inbox_id,
                row.held_at,
                id=row.id,
                outcome=row.outcome,
                closed_at=row.closed_at,
            )
    for row in earnings.by_source(tx, SOURCE, list(by_id)):
        ref = EarningRef(
            row.id, row.user_id, row.available_at, row.method, row.voided_at is not None
        )
        if row.kind == "reward":
            by_id[row.source_id].reward = ref
        else:
            by_id[row.source_id].referee_reward = ref


def _lock_limited_codes(tx: Tx, state: BatchState) -> None:
    limited = [code.id for code in state.codes_by_id.values() if code.max_uses is not None]
    if not limited:
        return
    for row in store.codes_by_id(tx, limited, lock=True):
        code = code_from(row)
        state.codes_by_id[code.id] = code
        if (row.merchant_id, code.code) in state.codes:
            state.codes[row.merchant_id, code.code] = code


def _lock_referrers(tx: Tx, state: BatchState, events: Sequence[Incoming]) -> None:
    owners: set[tuple[int, int, str]] = set()
    for event in events:
        if event.type == "conversion.recorded":
            for code in _may_count_for(state, event):
                owners.add((event.merchant_id, code.program_id, code.user_id))
        elif event.type in ("conversion.refunded", "conversion.disputed"):
            found = state.trackings.get((event.merchant_id, event.data.transaction_id))
            if found:
                owners.add((event.merchant_id, found.program_id, found.referrer_user_id))
    keys = {
        (*owner, program.version)
        for owner in owners
        if (program := state.programs[owner[1]]).needs_order
    }
    if not keys:
        return
    for row in store.lock_referrer_states(tx, keys):
        state.referrers[row.merchant_id, row.program_id, row.user_id] = ReferrerState(
            row.id, row.last_seq, row.conversions, row.volume, row.rewards
        )


def _load_periods(tx: Tx, state: BatchState, events: Sequence[Incoming]) -> None:
    """The counts of the periods that the events fall into. Their referrers are locked."""
    wanted: set[tuple[int, str, datetime, datetime, int]] = set()

    def want(merchant_id: int, program_id: int, user_id: str, at: datetime) -> None:
        program = state.programs[program_id]
        referrer = state.referrers.get((merchant_id, program_id, user_id))
        if program.period is not None and referrer is not None:
            start = begins(program.period, at)
            wanted.add(
                (referrer.id, program.period, start, ends(program.period, start), program.version)
            )

    for event in events:
        if event.type == "conversion.recorded":
            for code in _may_count_for(state, event):
                want(event.merchant_id, code.program_id, code.user_id, event.time)
        elif event.type in ("conversion.refunded", "conversion.disputed"):
            found = state.trackings.get((event.merchant_id, event.data.transaction_id))
            if found:
                want(
                    found.merchant_id, found.program_id, found.referrer_user_id, found.converted_at
                )
    if wanted:
        for row in period_store.load(tx, wanted):
            state.periods[row.state_id, row.starts_at] = PeriodState(
                row.state_id, row.period, row.starts_at, row.conversions, row.volume
            )


def _may_count_for(state: BatchState, event: Incoming) -> list[Code]:
    if event.data.code is not None:
        code = state.codes.get((event.merchant_id, event.data.code))
        return [code] if code else []
    candidates = state.candidates[event.merchant_id, event.data.referred_user_id]
    return [state.codes_by_id[code_id] for code_id in candidates]


def load_attributions(
    tx: Tx, state: BatchState, events: Sequence[Incoming], *, accepted: bool = False
) -> None:
    """Add what the events attribute (the first of a user and program stays), then load the rest.

    ``accepted``: they are known to count, whatever their codes are good for now.
    Rows are added before others are locked: who waits for somebody's new row holds no old one that the
    other may want.
    """
    wanted: dict[tuple[int, int, str], tuple[Code, Incoming]] = {}
    for event in _uses_code(events):
        code = state.codes.get((event.merchant_id, event.data.code or ""))
        if code is None:
            continue
        key = (event.merchant_id, code.program_id, event.data.referred_user_id)
        program = state.programs[code.program_id]
        if accepted or code_refusal(program, code, key[2], event.time) is None:
            wanted.setdefault(key, (code, event))
    known = {
        (user[0], state.codes_by_id[code_id].program_id, user[1])
        for user, code_ids in state.candidates.items()
        for code_id in code_ids
    }
    counted = {p.id: p.version for p in state.programs.values() if p.counts_referred}
    for row in attribution_store.add_attributions(
        tx,
        [
            (*key, code.id, event.time, counted.get(code.program_id, 0))
            for key, (code, event) in wanted.items()
        ],
    ):
        key = (row.merchant_id, row.program_id, row.referred_user_id)
        code, event = wanted.pop(key)
        state.attributions[key] = AttributionState(
            row.id, code.program_id, code.id, event.time, made_by=event.inbox_id
        )
    old = (known | set(wanted)) - set(state.attributions)
    for row in attribution_store.attributions(tx, old, counted=counted):
        state.attributions[row.merchant_id, row.program_id, row.referred_user_id] = (
            AttributionState(
                row.id,
                row.program_id,
                row.code_id,
                row.attributed_at,
                row.rewarded,
                row.first_rewarded_at,
            )
        )
    for user, code_ids in state.candidates.items():
        programs = {state.codes_by_id[code_id].program_id for code_id in code_ids}
        found = [state.attributions.get((user[0], program, user[1])) for program in programs]
        # One that somebody else added just now, by a code that we did not look at, came after us.
        state.remembered[user] = [a for a in found if a and a.code_id in code_ids]
