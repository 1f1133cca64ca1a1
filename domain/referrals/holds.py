"""Use cases of people who look at what is held: list it, release it, reject it; and say what is looked at."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from domain import clock
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.earnings import service as earnings
from domain.earnings.rules import EarningHold
from domain.errors import Forbidden, Invalid, NotFound
from domain.money import format_minor
from domain.referrals import admin_store, fraud_store, hold_store, rejecting
from domain.referrals.loading import SOURCE
from domain.referrals.rules.holds import HoldPolicy

KINDS: Final = ("dispute", "same_email", "velocity", "shared_destination")
"""Why something is held."""
REASON_MAX: Final = 500
"""Longest reason of an operator (as the column)."""
LIMIT_MAX: Final = 2**31 - 1
"""Largest limit of a policy (as the columns)."""


class Rejected(NamedTuple):
    """A hold that was rejected, and the payouts that have a part of what was earned."""

    hold: Any
    payouts: list[int]

    @property
    def sentence(self) -> str:
        """What was done, and what becomes of payouts that have a part of it."""
        hold = self.hold
        earned = format_minor(hold.amount_earned, hold.currency)
        if not self.payouts:
            return f"Rejected hold {hold.id}: {earned} of {hold.referrer_user_id} will not be paid."
        named = " and ".join(f"payout {number}" for number in self.payouts)
        return (
            f"Rejected hold {hold.id}: {earned} of {hold.referrer_user_id}. What {named} has of it is taken"
            " back: a payout that was not sent yet is canceled instead of being sent, and of one that was,"
            " the next payout of that payee takes it."
        )


def listing(
    tx: Tx,
    merchant_id: int,
    *,
    closed: bool = False,
    kind: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Any]:
    """A merchant's open holds, or those that ended, newest first, with what is at stake (minor units)."""
    if kind is not None and kind not in KINDS:
        raise Invalid("kind", f"is one of {', '.join(KINDS)}")
    return hold_store.page(tx, merchant_id, closed=closed, kind=kind, before=before, limit=limit)


def to_decide(tx: Tx, at_most: int) -> int:
    """How many open holds wait for a person, of all merchants, counted up to ``at_most``: no disputes."""
    return hold_store.count_to_decide(tx, at_most)


def held_money(tx: Tx, at_most: int) -> dict[str, int]:
    """By currency, what is earned and held now, of all merchants: minor units, over ``at_most`` open holds."""
    return hold_store.held_money(tx, at_most)


def release(tx: Tx, merchant_id: int, hold_id: int, *, actor: Actor, reason: str) -> Any:
    """End a hold: what was earned is payable again, unless something else holds it. Returns the hold.

    Raises NotFound; Invalid without a reason; Forbidden for a dispute, and for what has ended.
    """
    hold = _to_decide(tx, merchant_id, hold_id, reason)
    now = clock.business_now(tx)
    hold_store.decide(tx, [hold_id], "released", at=now, by=actor.id, reason=reason)
    held_at, why = hold_store.open_reasons(tx, [hold.tracking_id]).get(
        hold.tracking_id, (None, None)
    )
    found = earnings.by_source(tx, SOURCE, [hold.tracking_id])
    earnings.record(tx, [], holds=[EarningHold(row.id, held_at, why) for row in found])
    return _decided(tx, merchant_id, hold_id, "hold.released", actor, reason)


def reject(tx: Tx, merchant_id: int, hold_id: int, *, actor: Actor, reason: str) -> Rejected:
    """Void what was earned by the conversion of a hold, with what was taken back of it.

    What a payout has is taken back instead, see ``rejecting``. All suspicions of that conversion end with
    it. Raises as ``release``.
    """
    hold = _to_decide(tx, merchant_id, hold_id, reason)
    now = clock.business_now(tx)
    ended = hold_store.suspicions(tx, hold.tracking_id)
    hold_store.decide(tx, ended, "rejected", at=now, by=actor.id, reason=reason)
    payouts = rejecting.reject_tracking(tx, hold.tracking_id, hold_id)
    return Rejected(
        _decided(tx, merchant_id, hold_id, "hold.rejected", actor, reason, payouts=payouts), payouts
    )


def set_policy(
    tx: Tx, merchant_id: int, program_key: str | None, policy: HoldPolicy, *, actor: Actor
) -> None:
    """Say what is looked at, for a program, or (None) for all that have no policy of their own.

    It holds for conversions from now on; their counts begin with it. Raises NotFound, Invalid.
    """
    program_id = None
    if program_key is not None:
        row = admin_store.program(tx, merchant_id, program_key)
        if row is None:
            raise NotFound("program", program_key, "`payspool programs list` shows them.")
        program_id = row.id
    values: Mapping[str, Any] = asdict(policy)
    for name, value in values.items():
        limited = name.startswith(("code_", "referrer_")) and value is not None
        if limited and not 1 <= value <= LIMIT_MAX:
            raise Invalid(name, f"is from 1 to {LIMIT_MAX}; leave it out for no limit")
    fraud_store.put_policy(tx, merchant_id, program_id, values)
    audit.record(
        tx,
        actor,
        "hold_policy.set",
        merchant_id=merchant_id,
        subject_kind="program" if program_key else "merchant",
        subject_id=program_key or merchant_id,
        after=dict(values),
    )


def policies(tx: Tx, merchant_id: int) -> list[Any]:
    """A merchant's policies: its own (program None), and those of its programs."""
    return fraud_store.policies(tx, merchant_id)


def _to_decide(tx: Tx, merchant_id: int, hold_id: int, reason: str) -> Any:
    if not reason.strip() or len(reason) > REASON_MAX:
        raise Invalid("reason", f"say in 1 to {REASON_MAX} characters why")
    seen = _found(tx, merchant_id, hold_id)
    hold_store.lock_correlation(tx, merchant_id, seen.tracking_id, seen.transaction_id)
    hold = _found(tx, merchant_id, hold_id)
    if hold.kind == "dispute":
        raise Forbidden(
            f"Hold {hold_id} is the dispute {hold.ref!r}: it ends with its outcome. Send"
            " conversion.disputed with won or lost."
        )
    if hold.outcome is not None:
        raise Forbidden(f"Hold {hold_id} was {hold.outcome} by {hold.closed_by} already.")
    return hold


def _found(tx: Tx, merchant_id: int, hold_id: int) -> Any:
    row = hold_store.find(tx, merchant_id, hold_id)
    if row is None:
        raise NotFound("hold", str(hold_id), "`payspool holds list` shows them.")
    return row


def _decided(
    tx: Tx, merchant_id: int, hold_id: int, action: str, actor: Actor, reason: str, **more: Any
) -> Any:
    hold = _found(tx, merchant_id, hold_id)
    audit.record(
        tx,
        actor,
        action,
        merchant_id=merchant_id,
        subject_kind="hold",
        subject_id=hold_id,
        reason=reason,
        before={"evidence": hold.evidence, "kind": hold.kind},
        after={"tracking": hold.tracking_id, "outcome": hold.outcome} | more,
    )
    return hold
