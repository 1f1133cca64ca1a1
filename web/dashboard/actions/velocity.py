"""Release and reject what was too fast: a held event is applied or refused, a flagged one stays or is undone."""

from domain.db import transaction
from domain.inbox import service as inbox
from web.dashboard.actions.registry import Doing, action, given


@action("velocity.release", "approver")
def release(doing: Doing, *, merchant_id: int, case_id: int, reason: str) -> str:
    """Apply an event that was held, now; or find a flagged one all right."""
    with transaction(doing.engine) as tx:
        return inbox.release_case(
            tx, merchant_id, case_id, actor=doing.actor, reason=given(reason)
        ).sentence


@action("velocity.reject", "approver")
def reject(doing: Doing, *, merchant_id: int, case_id: int, reason: str) -> str:
    """Refuse an event that was held, for good; or undo a flagged one."""
    with transaction(doing.engine) as tx:
        return inbox.reject_case(
            tx, merchant_id, case_id, actor=doing.actor, reason=given(reason)
        ).sentence
