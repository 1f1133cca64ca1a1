"""Block and unblock payees."""

from domain.db import transaction
from domain.payouts import service
from web.dashboard.actions.registry import Doing, action, given


@action("payee.block", "operator")
def block(doing: Doing, *, merchant_id: int, user_id: str, reason: str) -> str:
    """Stop paying somebody."""
    why = given(reason)
    with transaction(doing.engine) as tx:
        service.block_payee(tx, merchant_id, user_id, why)
        doing.audit(
            tx, "payee.blocked", merchant_id=merchant_id, subject=("payee", user_id), reason=why
        )
    return f"{user_id} is not paid until the block is lifted."


@action("payee.unblock", "approver")
def unblock(doing: Doing, *, merchant_id: int, user_id: str) -> str:
    """Pay somebody again."""
    with transaction(doing.engine) as tx:
        service.block_payee(tx, merchant_id, user_id, None)
        doing.audit(tx, "payee.unblocked", merchant_id=merchant_id, subject=("payee", user_id))
    return f"{user_id} is paid again."
