"""Conversions that another system counted: kept as they were, and those it paid are not paid again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.db import Tx
from domain.referrals import loading
from domain.referrals.rules.codes import not_there
from domain.referrals.rules.conversions import Code, Program, Refusal, available_at
from domain.referrals.rules.importing import PastConversion
from domain.referrals.service.batch import Applied
from domain.referrals.service.flushing import earning_of, flush
from domain.referrals.state import BatchState, EarningRef, Outcome, TrackingState

PAID_BEFORE: Final = "paid_before"
"""``source_kind`` of the debit that settles a reward which was paid before Payspool."""


@dataclass(frozen=True, slots=True)
class _Data:
    code: str
    referred_user_id: str
    transaction_id: str
    amount: int | None
    currency: str
    referred_email_hash: None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """A conversion of the past; looks like an event to what loads a batch."""

    merchant_id: int
    past: PastConversion
    inbox_id: int = 0
    type: str = "conversion.recorded"

    @property
    def time(self) -> datetime:
        """When it converted."""
        return self.past.converted_at

    @property
    def data(self) -> _Data:
        """As an event says it."""
        past = self.past
        return _Data(
            past.code, past.referred_user_id, past.transaction_id, past.amount, past.currency
        )

    @property
    def order(self) -> Any:
        """By time."""
        return (self.past.converted_at, self.past.transaction_id)


Claim = Callable[[Sequence[str]], Mapping[str, int]]
"""Names accepted conversions for ever: transactions → the ids of their inbox rows."""


def apply_past(tx: Tx, conversions: Sequence[Imported], claim: Claim) -> Applied:
    """Keep conversions of the past with the amounts that were computed then; one outcome for each.

    They count for tiers, caps, `one_time` and uses of codes as if they had come here; nothing of them is
    suspected. A reward that was paid is recorded with a debit of its size that shares its due time, hold
    and claim: together they pay nothing, and a refund that comes later is owed.
    """
    if not conversions:
        return Applied([], [], [])
    state = loading.load_but_attributions(tx, conversions)
    outcomes: list[Outcome] = [_accept(state, one) for one in conversions]
    # What is refused attributes nobody: its code may be the mistake.
    kept = [one for one, outcome in zip(conversions, outcomes, strict=True) if outcome is None]
    loading.load_attributions(tx, state, kept, accepted=True)
    for one in kept:
        _keep(state, one)
    named = claim([t.transaction_id or "" for t in state.new_trackings])
    for tracking in state.new_trackings:
        tracking.inbox_id = named[tracking.transaction_id or ""]
    flush(tx, state, lambda _tx, _users: {})
    for tracking in state.new_trackings:
        if tracking.explanation.get(PAID_BEFORE) is None:
            continue
        for ref, kind, amount in (
            (tracking.reward, "clawback", tracking.amount_earned),
            (tracking.referee_reward, "referee_clawback", tracking.referee_amount_earned),
        ):
            if ref is not None:
                state.earnings.append(
                    earning_of(
                        tracking,
                        ref,
                        kind,
                        -amount,
                        PAID_BEFORE,
                        tracking.id,
                        tracking.converted_at,
                        reverses=ref.earning,
                    )
                )
    return Applied(outcomes, state.earnings, state.holds)


def _accept(state: BatchState, one: Imported) -> Outcome:
    code = state.codes.get((one.merchant_id, one.past.code))
    if code is None:
        return Refusal("code_not_found", not_there(one.past.code))
    refusal = _refusal(state, one, code, state.programs[code.program_id])
    if refusal is None and code.max_uses is not None:
        state.code_uses[code.id] = state.code_uses.get(code.id, 0) + 1
    return refusal


def _keep(state: BatchState, one: Imported) -> None:
    past = one.past
    code = state.codes[one.merchant_id, past.code]
    program = state.programs[code.program_id]
    referrer = state.referrers.get((one.merchant_id, program.id, code.user_id))
    period = state.period_of(program, referrer, one.time)
    if referrer:
        referrer.last_seq += 1
        referrer.rewards += 1 if past.amount_earned else 0
    for counts in (referrer, period):
        if counts:
            counts.conversions += 1
            counts.volume += past.amount or 0
            counts.changed = True
    attribution = state.attributions[one.merchant_id, program.id, past.referred_user_id]
    # The lines of a file stand in any order.
    if attribution.code_id == code.id and one.time < attribution.attributed_at:
        attribution.attributed_at, attribution.moved = one.time, True
    if (past.amount_earned or past.referee_amount_earned) and program.counts_referred:
        attribution.rewarded += 1
        attribution.first_rewarded_at = min(attribution.first_rewarded_at or one.time, one.time)
        attribution.counted = True
    tracking = TrackingState(
        id=0,
        merchant_id=one.merchant_id,
        inbox_id=0,  # until it is claimed
        referrer_user_id=code.user_id,
        referred_user_id=past.referred_user_id,
        code_id=code.id,
        program_id=program.id,
        program_version=program.version,
        transaction_id=past.transaction_id,
        transaction_amount=past.amount,
        amount_earned=past.amount_earned,
        referee_amount_earned=past.referee_amount_earned,
        currency=program.currency,
        converted_at=one.time,
        seq=referrer.last_seq if referrer else None,
        explanation={"rule": "imported", "version": program.version}
        | ({PAID_BEFORE: past.paid_reference} if past.paid_reference else {}),
        new=True,
        imported=True,
    )
    due = available_at(program, one.time)
    if past.amount_earned:
        tracking.reward = EarningRef(0, code.user_id, due, program.payout_method)
    if past.referee_amount_earned:
        tracking.referee_reward = EarningRef(0, past.referred_user_id, due, program.payout_method)
    state.new_trackings.append(tracking)
    state.trackings[one.merchant_id, past.transaction_id] = tracking


def _refusal(state: BatchState, one: Imported, code: Code, program: Program) -> Refusal | None:
    past = one.past
    if (one.merchant_id, past.transaction_id) in state.trackings:
        return Refusal("duplicate_transaction", "this transaction was counted before")
    if past.currency != program.currency:
        return Refusal(
            "currency_mismatch",
            f"the transaction is in {past.currency.upper()}, the program pays in"
            f" {program.currency.upper()}",
        )
    if code.user_id == past.referred_user_id:
        return Refusal("self_referral", f"{past.referred_user_id} owns the code {code.code}")
    uses = code.uses + state.code_uses.get(code.id, 0)
    if code.max_uses is not None and uses >= code.max_uses:
        return Refusal("code_exhausted", f"the code {code.code} was used {code.max_uses} times")
    return None
