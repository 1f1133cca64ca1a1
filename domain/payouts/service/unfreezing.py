"""Letting a payout go on that was stopped (`frozen_reason`): two people, and evidence.

A payout stops where its books and the gateway's contradict each other. One person who has compared them
proposes to let it go on, a second one agrees; then it goes on as its attempt stands.
"""

from typing import Any

from domain.audit.service import Actor
from domain.db import Tx
from domain.payouts.errors import NoSuchPayout, NotUnfreezable
from domain.payouts.rules.bank_leg import BANK
from domain.payouts.rules.outside import SAID
from domain.payouts.rules.unfreezing import what_follows
from domain.payouts.rules.words import said
from domain.payouts.service import auditing
from domain.payouts.service.sending import LEG
from domain.payouts.store import sending as sending_store
from domain.payouts.store import unfreezing as store


def propose_unfreeze(tx: Tx, payout_id: int, *, evidence: str, actor: Actor) -> str:
    """Propose to let a stopped payout go on; returns what follows once another person agrees.

    ``evidence`` says what was compared and seen. Raises NoSuchPayout, Invalid without evidence,
    NotUnfreezable if it is not stopped, or would be sent although the gateway's books show a payment for it.
    """
    evidence = said("evidence", evidence, "say what was compared")
    payout = _stopped(tx, payout_id)
    store.propose(
        tx,
        merchant_id=payout.merchant_id,
        payout_id=payout_id,
        reason=payout.frozen_reason,
        evidence=evidence,
        by=actor.id[:255],
    )
    _record(tx, actor, "payout.unfreeze_proposed", payout, evidence)
    return _follows(tx, payout)


def agree_unfreeze(tx: Tx, payout_id: int, *, actor: Actor) -> str:
    """Agree, as another person than the one who proposed; returns what follows now.

    Raises NoSuchPayout, or NotUnfreezable if nobody proposed it, the same person did, or something else
    has stopped it since.
    """
    payout = _stopped(tx, payout_id)
    proposal = store.proposal(tx, payout_id)
    if proposal is None:
        raise NotUnfreezable(payout_id, "nobody has proposed it; propose it with evidence first")
    if proposal.proposed_by == actor.id[:255]:
        raise NotUnfreezable(payout_id, f"{actor.id} proposed it; another person has to agree")
    if proposal.frozen_reason != payout.frozen_reason:
        raise NotUnfreezable(
            payout_id,
            f"it is stopped for another reason now ({payout.frozen_reason}); propose it anew",
        )
    follows = _follows(tx, payout)
    store.agree(tx, proposal.id, by=actor.id[:255])
    # Where an attempt was given up, and may have paid, nothing is sent but what a person asks for; what became
    # of another one is found out all the same, or nobody ever would.
    store.go_on(tx, payout_id, ask=not store.was_given_up(tx, payout_id))
    _record(tx, actor, "payout.unfrozen", payout, proposal.evidence)
    return follows


def _stopped(tx: Tx, payout_id: int) -> Any:
    payout = sending_store.lock_payout(tx, payout_id)
    if payout is None:
        raise NoSuchPayout("payout", payout_id)
    if payout.frozen_reason is None:
        raise NotUnfreezable(payout_id, f"it is {payout.state}, and not stopped")
    hindrance = store.hindrance(tx, payout_id)
    if hindrance is not None:
        raise NotUnfreezable(payout_id, hindrance)
    return payout


def _follows(tx: Tx, payout: Any) -> str:
    attempt = sending_store.latest_attempt(tx, payout.id, LEG)
    if payout.bank_leg and attempt.state == "succeeded":
        attempt = sending_store.latest_attempt(tx, payout.id, BANK)
    given_up = store.was_given_up(tx, payout.id)
    outside = payout.parked_reason == SAID
    return what_follows(payout.state, attempt.state, given_up=given_up, said_outside=outside)


def _record(tx: Tx, actor: Actor, action: str, payout: Any, evidence: str) -> None:
    before = {"frozen_reason": payout.frozen_reason, "state": payout.state}
    auditing.of_payout(tx, actor, action, payout, evidence, before=before)
