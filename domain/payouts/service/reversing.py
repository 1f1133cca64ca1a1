"""A person has a payout taken back: the request is committed first, and a worker asks the gateway.

What keeps it from being taken back twice is one live request of a payout and a fixed amount, kept by the
database; the gateway's idempotency key only helps.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Invalid
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts.errors import NoSuchPayout, NotReversible
from domain.payouts.rules import is_forgotten
from domain.payouts.rules.attempts import BEING_ASKED, is_leased, re_emit_wait
from domain.payouts.rules.reversing import (
    FIRST_LOOK,
    GIVEN_UP,
    Irreversible,
    Reversible,
    reversal_key,
    to_take_back,
)
from domain.payouts.rules.words import said
from domain.payouts.service.sending import IMMEDIATELY, ask
from domain.payouts.service.sweeping import MESSAGE_DIED
from domain.payouts.store import reversing as store
from domain.payouts.store import sending
from domain.payouts.store.reversing import RequestMove

SWEEP_LIMIT: Final = 1_000
"""Requests that one sweep asks for again; the next one takes the rest."""


@dataclass(frozen=True, slots=True)
class ReversalPlan:
    """What is, or would be, asked of the gateway: ``amount`` of ``transfer``, after which ``left`` stays
    paid; in minor units."""

    payout_id: int
    amount: int
    currency: str
    transfer: str
    left: int


@dataclass(frozen=True, slots=True)
class ReversalAsked:
    """A request that was kept; a worker sends it."""

    request_id: int
    n: int
    plan: ReversalPlan


def plan_reversal(tx: Tx, merchant_id: int, payout_id: int, amount: int | None) -> ReversalPlan:
    """What `request_reversal` would ask for now; nothing is written. Raises as it does."""
    return _plan(tx, merchant_id, payout_id, amount)[0]


def request_reversal(
    tx: Tx,
    merchant_id: int,
    payout_id: int,
    *,
    amount: int | None,
    reason: str,
    actor: Actor,
    came_back: int | None = None,
) -> ReversalAsked:
    """Have ``amount`` (minor units; None: all that is left) of a paid payout taken back by the gateway.

    ``came_back``: how much of it came back already, as the caller knows; a caller who repeats a call gives
    it, so that a part is not taken back once for each call. Raises NoSuchPayout, also for another
    merchant's, Invalid for a bad amount or reason, and NotReversible.
    """
    reason = said("reason", reason, "say why")
    plan, payout, paid_by = _plan(tx, merchant_id, payout_id, amount, came_back)
    n = paid_by.last_n + 1
    request_id = store.insert(
        tx,
        payout,
        paid_by,
        n=n,
        key=reversal_key(paid_by.installation, payout_id=payout_id, n=n),
        amount=plan.amount,
        reason=reason,
        by=actor.id,
        look=FIRST_LOOK,
    )
    ask(tx, merchant_id, "payouts.reverse", {"request_id": request_id}, IMMEDIATELY)
    audit.record(
        tx,
        actor,
        "payout.reversal_requested",
        merchant_id=merchant_id,
        subject_kind="payout",
        subject_id=payout_id,
        reason=reason,
        after={"request": n, "amount": plan.amount, "currency": plan.currency},
    )
    return ReversalAsked(request_id, n, plan)


def _plan(
    tx: Tx, merchant_id: int, payout_id: int, amount: int | None, came_back: int | None = None
) -> tuple[ReversalPlan, Any, Any]:
    if amount is not None and not 0 < amount < 2**63:
        raise Invalid("amount", "give minor units above 0, or none for all that is left")
    payout = sending.lock_payout(tx, payout_id)
    if payout is None or payout.merchant_id != merchant_id:
        raise NoSuchPayout("payout", payout_id)
    paid_by = store.of_payout(tx, payout_id)
    decided = to_take_back(reversible(payout, paid_by, live=paid_by.live), amount)
    if isinstance(decided, Irreversible):
        raise NotReversible(payout_id, decided.code, decided.why)
    if came_back is not None and came_back != payout.reversed_amount:
        raise NotReversible(
            payout_id,
            "changed",
            f"{payout.reversed_amount} of it came back already, not {came_back}: look at it again",
        )
    left = payout.amount - payout.reversed_amount - decided
    plan = ReversalPlan(payout_id, decided, payout.currency, paid_by.transfer, left)
    return plan, payout, paid_by


def reversible(payout: Any, paid_by: Any, *, live: bool) -> Reversible:
    """A locked payout, and what `store.of_payout` says of it, as far as they decide."""
    return Reversible(
        payout.state,
        payout.method,
        payout.amount,
        payout.reversed_amount,
        paid_by.transfer,
        payout.frozen_reason,
        live,
        payout.bank_leg and not paid_by.goes_to_bank,
    )


def propose_giving_up(
    tx: Tx, merchant_id: int, payout_id: int, *, evidence: str, actor: Actor
) -> None:
    """Propose to give up the request of which nobody can tell what became of it; ``evidence`` says what was
    looked at. Raises NoSuchPayout, Invalid without evidence, NotReversible while the gateway can be asked.
    """
    evidence = said("evidence", evidence, "say what was looked at")
    row = _unknown(tx, merchant_id, payout_id)
    store.propose_abandon(tx, row.id, by=actor.id, evidence=evidence)
    _record(tx, actor, "payout.reversal_abandon_proposed", row, evidence)


def agree_giving_up(tx: Tx, merchant_id: int, payout_id: int, *, actor: Actor) -> None:
    """Agree, as another person than the one who proposed: the request has failed, and another may follow.

    Raises NoSuchPayout, or NotReversible if nobody proposed it, or the same person did.
    """
    row = _unknown(tx, merchant_id, payout_id)
    if row.abandon_proposed_by is None:
        raise NotReversible(payout_id, "not_proposed", "nobody has proposed to give it up")
    if row.abandon_proposed_by == actor.id:
        why = f"{actor.id} proposed to give it up; another person has to agree"
        raise NotReversible(payout_id, "same_person", why)
    store.agree_abandon(tx, row.id, by=actor.id)
    given_up = RequestMove(
        "unknown",
        "failed",
        "abandoned",
        resolved=True,
        error_code=GIVEN_UP,
        error_message=row.abandon_evidence,
    )
    store.move(tx, row.id, given_up)
    _record(tx, actor, "payout.reversal_abandoned", row, row.abandon_evidence)


def _unknown(tx: Tx, merchant_id: int, payout_id: int) -> Any:
    payout = sending.lock_payout(tx, payout_id)
    if payout is None or payout.merchant_id != merchant_id:
        raise NoSuchPayout("payout", payout_id)
    request_id = store.live_of(tx, payout_id)
    row = None if request_id is None else store.read(tx, request_id)
    if row is None or row.state != "unknown":
        raise NotReversible(payout_id, "not_unknown", "no reversal of it has an unknown outcome")
    if not is_forgotten(row.sent_at, row.real_now):
        why = "the gateway still remembers the key of its reversal and is asked by itself"
        raise NotReversible(payout_id, "in_progress", why)
    if is_leased(row.lease_until, row.real_now):
        raise NotReversible(payout_id, "in_progress", BEING_ASKED)
    return row


def _record(tx: Tx, actor: Actor, action: str, row: Any, reason: str) -> None:
    audit.record(
        tx,
        actor,
        action,
        merchant_id=row.merchant_id,
        subject_kind="payout",
        subject_id=row.payout_id,
        reason=reason,
        before={"request": row.n, "state": row.state},
    )


def sweep_reversals(tx: Tx, *, limit: int = SWEEP_LIMIT) -> int:
    """Ask again for requests that nothing happened to, each at most once per backoff; returns how many."""
    rows = store.stuck(tx, limit)
    store.emitted(tx, [(row.id, re_emit_wait(row.emit_count)) for row in rows])
    outbox.emit(tx, [_message(row) for row in rows])
    return len(rows)


def reversal_died(tx: Tx, request_id: int) -> None:
    """Its message is a dead letter: nobody asks again until a person decided about that."""
    store.set_aside(tx, request_id, MESSAGE_DIED)


def take_up_reversals(tx: Tx, request_ids: Collection[int]) -> None:
    """A person put dead letters back on the queue: should they be lost there, the sweep asks again."""
    if request_ids:
        store.take_up(tx, request_ids, MESSAGE_DIED, timedelta(minutes=5))


def _message(row: Any) -> OutboxMessage:
    return OutboxMessage("payouts", "payouts.reverse", {"request_id": row.id}, row.merchant_id)
