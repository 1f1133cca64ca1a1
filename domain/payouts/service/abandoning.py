"""Giving up an attempt whose outcome nobody can find out: two people, and evidence.

After 23 hours the gateway may have forgotten the key, so it is never sent again, only looked for. If it
is not found either, a person who has looked at the gateway proposes to abandon it, and a second one
agrees. Then, and only then, a later attempt may pay the payout. If the abandoned attempt should prove to
have paid after all, its payout freezes.
"""

from typing import Any

from domain.audit.service import Actor
from domain.clock import business_now
from domain.db import Tx
from domain.payouts.errors import NoSuchPayout, NotAbandonable
from domain.payouts.rules import is_forgotten
from domain.payouts.rules.attempts import BEING_ASKED, is_leased
from domain.payouts.rules.bank_leg import BANK
from domain.payouts.rules.words import said
from domain.payouts.service import auditing, booking
from domain.payouts.service.sending import LEG
from domain.payouts.store import abandoning as abandon_store
from domain.payouts.store import sending as store
from domain.payouts.store.sending import AttemptMove, PayoutMove


def propose_abandon(tx: Tx, payout_id: int, *, evidence: str, actor: Actor) -> None:
    """Propose to give up a payout's unknown attempt; ``evidence`` says what was looked at and seen.

    Raises NoSuchPayout, Invalid without evidence, NotAbandonable while the gateway can still be asked.
    """
    evidence = said("evidence", evidence, "say what was looked at")
    payout, attempt = _unknown(tx, payout_id)
    abandon_store.propose(tx, attempt.id, by=actor.id, evidence=evidence)
    _record(tx, actor, "payout_attempt.abandon_proposed", payout, attempt, evidence)


def agree_abandon(tx: Tx, payout_id: int, *, actor: Actor) -> None:
    """Agree, as another person than the one who proposed: the payout is failed and may be tried again.

    Raises NoSuchPayout, or NotAbandonable if nobody proposed it, or the same person did.
    """
    payout, attempt = _unknown(tx, payout_id)
    if attempt.abandon_proposed_by is None:
        raise NotAbandonable(payout_id, "nobody has proposed it; propose it with evidence first")
    if attempt.abandon_proposed_by == actor.id:
        raise NotAbandonable(payout_id, f"{actor.id} proposed it; another person has to agree")
    abandon_store.agree(tx, attempt.id, by=actor.id)
    store.move_attempt(
        tx, attempt.id, AttemptMove("unknown", "abandoned", "abandoned", resolved=True)
    )
    now = business_now(tx)
    # What a second leg did not pay is on the connected account: only that leg can follow.
    bank = attempt.leg == BANK
    store.move_payout(
        tx,
        payout_id,
        PayoutMove(
            "unknown",
            "returned" if bank else "failed",
            error_code="abandoned",
            error_message=attempt.abandon_evidence,
            failed_at=now,
        ),
    )
    if not bank:
        booking.fail(tx, payout, attempt.id, now)
    _record(tx, actor, "payout_attempt.abandoned", payout, attempt, attempt.abandon_evidence)


def _unknown(tx: Tx, payout_id: int) -> tuple[Any, Any]:
    payout = store.lock_payout(tx, payout_id)
    if payout is None:
        raise NoSuchPayout("payout", payout_id)
    if payout.frozen_reason is not None:
        raise NotAbandonable(payout_id, f"it is stopped: {payout.frozen_reason}")
    attempt = store.latest_attempt(tx, payout_id, LEG)
    if payout.bank_leg and attempt.state == "succeeded":
        attempt = store.latest_attempt(tx, payout_id, BANK)
    if attempt.id is None or attempt.state != "unknown":
        raise NotAbandonable(
            payout_id, f"it is {payout.state}; only an unknown outcome is given up"
        )
    if not is_forgotten(attempt.sent_at, attempt.real_now):
        raise NotAbandonable(
            payout_id, "the gateway still remembers its key and is asked by itself"
        )
    if is_leased(attempt.lease_until, attempt.real_now):
        # What it asks may be a last replay, begun when the key was young enough: it may pay yet.
        raise NotAbandonable(payout_id, BEING_ASKED)
    return payout, attempt


def _record(tx: Tx, actor: Actor, action: str, payout: Any, attempt: Any, reason: str) -> None:
    before = {"attempt": attempt.n, "state": attempt.state}
    auditing.of_payout(tx, actor, action, payout, reason, before=before)
