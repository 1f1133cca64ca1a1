"""Send webhooks again, and disable, enable and try the endpoints that they go to."""

from datetime import UTC, datetime

from domain.db import transaction
from domain.errors import Invalid
from domain.webhooks import deliveries, service
from web.dashboard.actions.registry import Doing, action, given


@action("webhook.resend", "operator")
def resend(doing: Doing, *, merchant_id: int, delivery_id: int) -> str:
    """Send one delivery again."""
    with transaction(doing.engine) as tx:
        done = deliveries.resend(tx, merchant_id, delivery_id, actor=doing.actor)
    if not done:
        return f"Delivery {delivery_id} is still on its way."
    return f"Delivery {delivery_id} is sent again."


@action("webhook.resend_failed", "operator")
def resend_failed(doing: Doing, *, merchant_id: int, endpoint_id: int, since: str) -> str:
    """Send again what failed at an endpoint since a time, in as many transactions as it takes."""
    at = _time(since)
    total = 0
    while True:
        with transaction(doing.engine) as tx:
            some = deliveries.resend_failed(tx, merchant_id, endpoint_id, at, actor=doing.actor)
        total += some
        if some < deliveries.RESENT_AT_ONCE:
            return f"Sent again: {total:,}."


@action("webhook.test", "operator")
def test(doing: Doing, *, merchant_id: int, endpoint_id: int) -> str:
    """Send an endpoint an event that tells nothing."""
    with transaction(doing.engine) as tx:
        made = deliveries.test(tx, merchant_id, endpoint_id, actor=doing.actor)
    return f"Delivery {made} is on its way: the log tells what it comes to."


@action("webhook.disable", "operator")
def disable(doing: Doing, *, merchant_id: int, endpoint_id: int, reason: str) -> str:
    """Send an endpoint nothing more."""
    with transaction(doing.engine) as tx:
        service.disable(tx, merchant_id, endpoint_id, reason=given(reason), actor=doing.actor)
    return f"Disabled endpoint {endpoint_id}."


@action("webhook.enable", "operator")
def enable(doing: Doing, *, merchant_id: int, endpoint_id: int) -> str:
    """Send an endpoint what waits for it, and what happens from now on."""
    with transaction(doing.engine) as tx:
        service.enable(tx, merchant_id, endpoint_id, actor=doing.actor)
    return f"Enabled endpoint {endpoint_id}."


def _time(said: str) -> datetime:
    try:
        at = datetime.fromisoformat(said.strip())
    except ValueError:
        raise Invalid("since", f"{said!r} is no day or time, as 2026-06-01") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
