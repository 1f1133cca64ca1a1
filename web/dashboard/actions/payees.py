"""Block and unblock payees."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from domain.db import Tx, transaction
from domain.payouts import service
from domain.payouts.store import looking
from web.dashboard.actions.registry import Doing, action, given


@contextmanager
def _noted(doing: Doing, what: str, merchant_id: int, user_id: str, **more: Any) -> Iterator[Tx]:
    """The transaction of what is done to a payee, audited with the block before and after."""

    def block(tx: Tx) -> dict[str, Any] | None:
        row = looking.payee(tx, merchant_id, user_id)
        return row and {"blocked_reason": row.blocked_reason}

    with transaction(doing.engine) as tx:
        before = block(tx)
        yield tx
        doing.audit(
            tx,
            what,
            merchant_id=merchant_id,
            subject=("payee", user_id),
            before=before,
            after=block(tx),
            **more,
        )


@action("payee.block", "operator")
def block(doing: Doing, *, merchant_id: int, user_id: str, reason: str) -> str:
    """Stop paying somebody."""
    why = given(reason)
    with _noted(doing, "payee.blocked", merchant_id, user_id, reason=why) as tx:
        service.block_payee(tx, merchant_id, user_id, why)
    return f"{user_id} is not paid until the block is lifted."


@action("payee.unblock", "approver")
def unblock(doing: Doing, *, merchant_id: int, user_id: str) -> str:
    """Pay somebody again."""
    with _noted(doing, "payee.unblocked", merchant_id, user_id) as tx:
        service.block_payee(tx, merchant_id, user_id, None)
    return f"{user_id} is paid again."
