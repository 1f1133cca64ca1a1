"""The kill switch. Whoever watches may stop money; letting it go again takes an approver."""

from domain.db import Tx, transaction
from domain.merchants import service as merchants
from domain.payouts.service import stopping
from web.dashboard.actions.registry import Doing, action, given


@action("payouts.stop", "operator")
def stop(doing: Doing, *, merchant: str | None, method: str | None, reason: str) -> str:
    """Send no payout from now on, of a merchant and method, or of all."""
    why = given(reason)
    with transaction(doing.engine) as tx:
        stopping.stop(
            tx, actor=doing.actor, reason=why, merchant_id=_id(tx, merchant), method=method
        )
    return f"Stopped: payouts of {merchant or 'all merchants'} by {method or 'any method'}."


@action("payouts.resume", "approver")
def resume(doing: Doing, *, merchant: str | None, method: str | None) -> str:
    """Lift the stop of exactly this reach; what waited for it is sent."""
    with transaction(doing.engine) as tx:
        _, waited = stopping.lift(
            tx, actor=doing.actor, merchant_id=_id(tx, merchant), method=method
        )
    return f"Resumed; {waited:,} payouts waited for it."


def _id(tx: Tx, merchant: str | None) -> int | None:
    return None if merchant is None else merchants.get(tx, merchant).id
