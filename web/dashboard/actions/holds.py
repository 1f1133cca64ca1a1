"""Release and reject what is held because it may be fraud. A dispute ends with its own outcome, not here."""

from domain.db import transaction
from domain.referrals import holds
from web.dashboard.actions.registry import Doing, action, given


@action("hold.release", "approver")
def release(doing: Doing, *, merchant_id: int, hold_id: int, reason: str) -> str:
    """End a hold, so that what was earned may be paid."""
    with transaction(doing.engine) as tx:
        hold = holds.release(tx, merchant_id, hold_id, actor=doing.actor, reason=given(reason))
    return f"Released hold {hold_id} of {hold.referrer_user_id}'s reward."


@action("hold.reject", "approver")
def reject(doing: Doing, *, merchant_id: int, hold_id: int, reason: str) -> str:
    """Void what the held conversion earned, for both sides, for good."""
    with transaction(doing.engine) as tx:
        return holds.reject(
            tx, merchant_id, hold_id, actor=doing.actor, reason=given(reason)
        ).sentence
