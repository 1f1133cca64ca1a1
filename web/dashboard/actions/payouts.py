"""What people do to payouts, differences and reversals. Nothing of it sends: workers send."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from domain.db import Tx, transaction
from domain.errors import Invalid
from domain.money import format_minor
from domain.payouts import service
from domain.payouts.errors import NoSuchPayout
from domain.payouts.service import adjusting, outside, reconciling, unfreezing
from domain.payouts.store import looking
from web.dashboard.actions.registry import Doing, action, given

RETRIED: Final = "payout.retried"


@contextmanager
def _payout(doing: Doing, merchant_id: int, payout_id: int) -> Iterator[Tx]:
    """The transaction of what is done to a payout, which is this merchant's. Raises NoSuchPayout."""
    with transaction(doing.engine) as tx:
        if service.route(tx, payout_id).merchant_id != merchant_id:
            raise NoSuchPayout("payout", payout_id)
        yield tx


@contextmanager
def _noted(
    doing: Doing, what: str, merchant_id: int, payout_id: int, reason: str | None
) -> Iterator[Tx]:
    """The same, and what is done is audited with the states before and after. Said again of one that is paid, it
    changes nothing, and is not; a retry begins with the state that it finds."""

    def state(tx: Tx) -> dict[str, str]:
        return {"state": looking.payout(tx, merchant_id, payout_id).status}

    with _payout(doing, merchant_id, payout_id) as tx:
        before = state(tx)
        yield tx
        after = state(tx)
        if after != before or what == RETRIED:
            doing.audit(
                tx,
                what,
                merchant_id=merchant_id,
                subject=("payout", payout_id),
                reason=reason,
                before=before,
                after=after,
            )


@action("payout.retry", "operator")
def retry(doing: Doing, *, merchant_id: int, payout_id: int, reason: str = "") -> str:
    """Send a failed payout again, under a new attempt."""
    why = reason.strip() or None
    with _noted(doing, RETRIED, merchant_id, payout_id, why) as tx:
        service.retry(tx, payout_id)
    return f"Payout {payout_id} is sent again."


@action("payout.cancel", "operator")
def cancel(doing: Doing, *, merchant_id: int, payout_id: int, reason: str) -> str:
    """Give a payout up that has not been paid."""
    why = given(reason)
    with _noted(doing, "payout.canceled", merchant_id, payout_id, why) as tx:
        service.cancel(tx, payout_id, reason=why)
    return f"Payout {payout_id} is canceled; its earnings can be claimed by the next run."


@action("payout.propose_abandon", "operator")
def propose_abandon(doing: Doing, *, merchant_id: int, payout_id: int, reason: str) -> str:
    """Propose to give up an attempt whose outcome cannot be found out."""
    with _payout(doing, merchant_id, payout_id) as tx:
        service.propose_abandon(tx, payout_id, evidence=given(reason), actor=doing.actor)
    return "Proposed. Another person has to agree."


@action("payout.agree_abandon", "approver")
def agree_abandon(doing: Doing, *, merchant_id: int, payout_id: int) -> str:
    """Agree to it, as another person."""
    with _payout(doing, merchant_id, payout_id) as tx:
        service.agree_abandon(tx, payout_id, actor=doing.actor)
    return "Given up. Retry the payout, or cancel it."


@action("payout.propose_unfreeze", "operator")
def propose_unfreeze(doing: Doing, *, merchant_id: int, payout_id: int, reason: str) -> str:
    """Propose to let a stopped payout go on."""
    with _payout(doing, merchant_id, payout_id) as tx:
        follows = unfreezing.propose_unfreeze(
            tx, payout_id, evidence=given(reason), actor=doing.actor
        )
    return f"Proposed; another person has to agree. Then: {follows}"


@action("payout.agree_unfreeze", "approver")
def agree_unfreeze(doing: Doing, *, merchant_id: int, payout_id: int) -> str:
    """Agree to it, as another person."""
    with _payout(doing, merchant_id, payout_id) as tx:
        follows = unfreezing.agree_unfreeze(tx, payout_id, actor=doing.actor)
    return f"It goes on. {follows}"


@action("payout.mark_paid", "approver")
def mark_paid(doing: Doing, *, merchant_id: int, payout_id: int, reference: str) -> str:
    """Say that the bank paid an exported payout."""
    with _noted(doing, "payout.marked_paid", merchant_id, payout_id, reference) as tx:
        service.mark_paid(tx, payout_id, reference=reference)
    return f"Payout {payout_id} is paid."


@action("payout.release", "approver")
def release(doing: Doing, *, merchant_id: int, payout_id: int, reason: str) -> str:
    """Let the earnings of a payout that came back whole be paid again."""
    with _payout(doing, merchant_id, payout_id) as tx:
        service.release(tx, payout_id, reason=given(reason), actor=doing.actor)
    return f"The earnings of payout {payout_id} can be claimed by the next run."


@action("reversal.decide", "approver")
def decide_reversal(
    doing: Doing, *, merchant_id: int, reversal_id: int, owed: bool, reason: str
) -> str:
    """Say what becomes of what came back: owed to the payee again, or kept."""
    with transaction(doing.engine) as tx:
        service.decide(
            tx, merchant_id, reversal_id, owed=owed, reason=given(reason), actor=doing.actor
        )
    return f"Reversal {reversal_id} is {'owed to the payee again' if owed else 'kept'}."


@action("payout.mark_failed", "approver")
def mark_failed(doing: Doing, *, merchant_id: int, payout_id: int, reason: str) -> str:
    """Say that the bank refused an exported payout."""
    why = given(reason)
    with _noted(doing, "payout.marked_failed", merchant_id, payout_id, why) as tx:
        service.mark_failed(tx, payout_id, reason=why)
    return f"Payout {payout_id} is failed. Retry it for the next bank file, or cancel it."


@action("payout.propose_outside", "operator")
def propose_outside(
    doing: Doing, *, merchant_id: int, payout_id: int, reference: str, evidence: str
) -> str:
    """Say that a payout was paid outside of Payspool; nothing sends it meanwhile."""
    with _payout(doing, merchant_id, payout_id) as tx:
        outside.propose_outside(
            tx, payout_id, reference=reference, evidence=given(evidence), actor=doing.actor
        )
    return "Nothing is sent for it. Another person has to agree."


@action("payout.agree_outside", "approver")
def agree_outside(doing: Doing, *, merchant_id: int, payout_id: int) -> str:
    """Agree to it, as another person."""
    with _payout(doing, merchant_id, payout_id) as tx:
        outside.agree_outside(tx, payout_id, actor=doing.actor)
    return f"Payout {payout_id} is paid."


@action("payout.withdraw_outside", "approver")
def withdraw_outside(doing: Doing, *, merchant_id: int, payout_id: int, reason: str) -> str:
    """Take back that it was paid outside: an approved payout is sent then."""
    with _payout(doing, merchant_id, payout_id) as tx:
        outside.withdraw_outside(tx, payout_id, reason=given(reason), actor=doing.actor)
    return f"Payout {payout_id} goes on as it was."


@action("payout.reverse", "approver")
def reverse(
    doing: Doing, *, merchant_id: int, payout_id: int, amount: str, came_back: int, reason: str
) -> str:
    """Have the gateway take back a paid payout, or ``amount`` (minor units; empty: all that is left) of it.

    ``came_back`` is what the page showed: whoever clicks twice does not take a part back twice.
    """
    if amount and not (amount.isascii() and amount.isdigit() and len(amount) <= 18):
        raise Invalid("amount", "is a whole number of minor units, or empty for all that is left")
    with transaction(doing.engine) as tx:
        plan = service.request_reversal(
            tx,
            merchant_id,
            payout_id,
            amount=int(amount) if amount else None,
            reason=given(reason),
            actor=doing.actor,
            came_back=came_back,
        ).plan
    taken, left = (format_minor(one, plan.currency) for one in (plan.amount, plan.left))
    return f"A worker takes back {taken} of payout {payout_id}; {left} of it stays paid."


@action("payout.propose_give_up_reversal", "operator")
def propose_give_up_reversal(doing: Doing, *, merchant_id: int, payout_id: int, reason: str) -> str:
    """Propose to give up a reversal of which nobody can tell what became of it."""
    with transaction(doing.engine) as tx:
        service.propose_giving_up(
            tx, merchant_id, payout_id, evidence=given(reason), actor=doing.actor
        )
    return "Proposed. Another person has to agree."


@action("payout.agree_give_up_reversal", "approver")
def agree_give_up_reversal(doing: Doing, *, merchant_id: int, payout_id: int) -> str:
    """Agree to it, as another person."""
    with transaction(doing.engine) as tx:
        service.agree_giving_up(tx, merchant_id, payout_id, actor=doing.actor)
    return f"Given up: payout {payout_id} stays paid, and can be reversed again."


@action("difference.resolve", "operator")
def resolve_difference(doing: Doing, *, merchant_id: int, difference_id: int, reason: str) -> str:
    """Close a difference that was explained."""
    with transaction(doing.engine) as tx:
        reconciling.resolve_difference(
            tx, merchant_id, difference_id, note=given(reason), actor=doing.actor
        )
    return f"Difference {difference_id} is resolved."


@action("adjustment.agree", "approver")
def agree_adjustment(doing: Doing, *, merchant_id: int, number: int) -> str:
    """Book a large adjustment, as another person than the one who proposed it."""
    with transaction(doing.engine) as tx:
        adjusting.agree(tx, merchant_id, number, doing.actor)
    return f"Adjustment {number} is booked."


@action("adjustment.reject", "approver")
def reject_adjustment(doing: Doing, *, merchant_id: int, number: int) -> str:
    """Reject a proposed adjustment."""
    with transaction(doing.engine) as tx:
        adjusting.reject(tx, merchant_id, number, doing.actor)
    return f"Adjustment {number} is rejected."
