"""What people and workers did to payouts and stops, as the audit trail keeps it."""

from typing import Any

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.payouts.rules.stopping import Stop


def of_payout(
    tx: Tx,
    actor: Actor,
    action: str,
    payout: Any,
    reason: str | None,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Record what was done to a payout (a row of it), and why."""
    audit.record(
        tx,
        actor,
        action,
        merchant_id=payout.merchant_id,
        subject_kind="payout",
        subject_id=payout.id,
        reason=reason,
        before=before,
        after=after,
    )


def of_stop(tx: Tx, actor: Actor, action: str, stop: Stop, reason: str | None) -> None:
    """Record that a stop was put or lifted."""
    audit.record(
        tx,
        actor,
        action,
        merchant_id=stop.merchant_id,
        subject_kind="payout_stop",
        subject_id=stop.stop_id,
        reason=reason,
        after={"method": stop.method},
    )
