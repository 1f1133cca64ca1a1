"""A payout that was paid outside of Payspool: by hand at the bank, in cash, in the gateway's dashboard.

Canceling it would have the next run pay its earnings a second time. One person says under what reference it
was paid, with evidence, and nothing is sent for it from then on; a second one agrees, and it is paid.
"""

from typing import Any, Final

from domain.audit.service import Actor
from domain.clock import business_now
from domain.db import Tx
from domain.payouts.errors import NoSuchPayout, NotMarkable
from domain.payouts.rules import attempt_key, params_hash
from domain.payouts.rules.outside import PLATFORM, SAID, problem
from domain.payouts.rules.words import MAX_REFERENCE, line
from domain.payouts.service import auditing, booking
from domain.payouts.service.sending import IMMEDIATELY, LEG, frozen
from domain.payouts.store import outside as store
from domain.payouts.store import sending
from domain.payouts.store.sending import AttemptMove, PayoutMove
from domain.payouts.store.unfreezing import unexplained_payment

API_VERSION: Final = "1"


def propose_outside(tx: Tx, payout_id: int, *, reference: str, evidence: str, actor: Actor) -> None:
    """Say that a payout was paid outside; nothing sends it while another person has to agree.

    It may be said of a payout that is stopped: nothing is sent for it then either once two people let it go
    on. Raises NoSuchPayout, Invalid without reference or evidence, NotMarkable for a payout that may be paid
    by an attempt, or of which it was said already.
    """
    reference = line("--reference", reference, MAX_REFERENCE)
    evidence = line("--evidence", evidence)
    payout, _ = _lock(tx, payout_id, stopped=True)
    open_one = store.proposal(tx, payout_id)
    if open_one is not None:
        raise NotMarkable(
            payout_id, f"{open_one.proposed_by} said so already; agree or withdraw it"
        )
    store.propose(
        tx,
        merchant_id=payout.merchant_id,
        payout_id=payout_id,
        reference=reference,
        evidence=evidence,
        by=actor.id[:255],
    )
    _move(tx, payout, payout.state, parked=SAID)
    _record(tx, actor, "payout.outside_proposed", payout, reference, evidence)


def agree_outside(tx: Tx, payout_id: int, *, actor: Actor) -> None:
    """Agree, as another person than the one who said it: the payout is paid, and can never be sent.

    Raises NoSuchPayout, or NotMarkable if nobody said it, the same person did, or it may be paid by an
    attempt.
    """
    payout, last_n = _lock(tx, payout_id)
    proposal = _proposal(tx, payout_id)
    if proposal.proposed_by == actor.id[:255]:
        raise NotMarkable(payout_id, f"{actor.id} said it; another person has to agree")
    store.agree(tx, proposal.id, by=actor.id[:255])
    now = business_now(tx)
    sending.move_payout(tx, payout_id, PayoutMove(payout.state, "sending"))
    attempt_id = _mint(tx, payout_id, last_n + 1, proposal.reference)
    booking.send(tx, payout, attempt_id, now)
    paid = AttemptMove(
        "sending", "succeeded", "paid outside", resolved=True, external_id=proposal.reference
    )
    sending.move_attempt(tx, attempt_id, paid)
    sending.move_payout(
        tx,
        payout_id,
        PayoutMove("sending", "paid", external_id=proposal.reference, processed_at=now),
    )
    booking.pay_outside(tx, payout, attempt_id, now)
    _record(tx, actor, "payout.paid_outside", payout, proposal.reference, proposal.evidence)


def withdraw_outside(tx: Tx, payout_id: int, *, reason: str, actor: Actor) -> None:
    """Take back what was said, whoever said it: the payout goes on as it was.

    An approved one is asked for again; a failed one waits for a person. Raises NoSuchPayout, Invalid
    without a reason, NotMarkable if nobody said anything, or the gateway's books show a payment for it.
    """
    reason = line("--withdraw", reason)
    payout, _ = _lock(tx, payout_id, stopped=True)
    proposal = _proposal(tx, payout_id)
    transfer = unexplained_payment(tx, payout_id)
    if transfer is not None and payout.frozen_reason is None:
        raise NotMarkable(
            payout_id,
            f"it would be sent, and the gateway's books show {transfer} for it: agree that it was paid outside, or"
            " resolve that difference with what explains it",
        )
    store.withdraw(tx, proposal.id, by=actor.id[:255])
    _move(tx, payout, payout.state, parked=None, again=payout.state == "approved")
    _record(tx, actor, "payout.outside_withdrawn", payout, proposal.reference, reason)


def _lock(tx: Tx, payout_id: int, *, stopped: bool = False) -> tuple[Any, int]:
    """The payout, locked, and the number of its last attempt; with ``stopped`` also one that is stopped.

    Raises NoSuchPayout, NotMarkable.
    """
    payout = sending.lock_payout(tx, payout_id)
    if payout is None:
        raise NoSuchPayout("payout", payout_id)
    latest = sending.latest_attempt(tx, payout_id, LEG)
    frozen_reason = None if stopped else payout.frozen_reason
    why = problem(payout.state, frozen_reason, latest.state, payout.external_transaction_id)
    if why is not None:
        raise NotMarkable(payout_id, why)
    return payout, latest.last_n


def _proposal(tx: Tx, payout_id: int) -> Any:
    found = store.proposal(tx, payout_id)
    if found is None:
        raise NotMarkable(payout_id, "nobody said that it was; say it with reference and evidence")
    return found


def _move(tx: Tx, payout: Any, state: str, *, parked: str | None, again: bool = False) -> None:
    moved = PayoutMove(
        payout.state,
        state,
        look=IMMEDIATELY if again else None,
        parked=parked,
        error_code=payout.error_code,
        error_message=payout.error_message,
    )
    sending.move_payout(tx, payout.id, moved)


def _mint(tx: Tx, payout_id: int, n: int, reference: str) -> int:
    """The attempt that stands for what was paid outside: with it, the database refuses any other."""
    facts = frozen(tx, payout_id)
    params = {
        "reference": reference,
        "amount": facts.amount,
        "currency": facts.currency,
        "destination": facts.destination,
    }
    minted = sending.insert_attempt(
        tx,
        merchant_id=facts.merchant_id,
        payout_id=payout_id,
        leg=LEG,
        n=n,
        key=attempt_key(facts.installation, payout_id=payout_id, leg=LEG, n=n),
        params=params,
        params_hash=params_hash(params),
        api_version=API_VERSION,
        platform_account=PLATFORM,
        lease=None,
    )
    return int(minted.id)


def _record(tx: Tx, actor: Actor, action: str, payout: Any, reference: str, reason: str) -> None:
    before, after = {"state": payout.state}, {"reference": reference}
    auditing.of_payout(tx, actor, action, payout, reason, before=before, after=after)
