"""Add endpoints of webhooks, change, disable, enable, try and remove them, and send what failed again.

Whither what happens is told, and signed by what, is for approvers to say. Any operator stops it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from domain.db import transaction
from domain.errors import Forbidden, Invalid
from domain.merchants.service import Merchant
from domain.webhooks import deliveries, rules, service
from web.dashboard.actions.registry import Doing, Handed, action, given
from web.dashboard.context import Receivers


@dataclass(frozen=True, slots=True)
class Signing:
    """The secret of an endpoint, which is shown to whoever made it, this once."""

    endpoint_id: int
    secret: str = field(repr=False)


def _receivers(doing: Doing) -> Receivers:
    if doing.context.receivers is None:
        raise Forbidden("This dashboard keeps no secrets. Use `payspool webhooks`.")
    return doing.context.receivers


@action("webhook.add", "approver")
def add(
    doing: Doing, *, merchant: Merchant, url: str, types: Sequence[str], description: str
) -> Handed:
    """Tell an address of what happens from now on. Its name is looked up, over the network, before."""
    known = _receivers(doing)
    address = service.look_up(url, merchant.mode, known.reach, known.resolve)
    with transaction(doing.engine) as tx:
        made, secret = service.add(
            tx,
            merchant.id,
            address,
            types=types,
            description=description,
            box=known.box,
            actor=doing.actor,
        )
    return Handed(f"Added endpoint {made}.", Signing(made, secret))


@action("webhook.change", "approver")
def change(
    doing: Doing, *, merchant_id: int, endpoint_id: int, types: Sequence[str], description: str
) -> str:
    """Change what an endpoint is told of, and what it is for."""
    with transaction(doing.engine) as tx:
        service.change(
            tx,
            merchant_id,
            endpoint_id,
            types=types,
            description=description,
            actor=doing.actor,
        )
    return f"Changed endpoint {endpoint_id}."


@action("webhook.roll", "approver")
def roll(doing: Doing, *, merchant_id: int, endpoint_id: int, hours: str) -> Handed:
    """Replace an endpoint's secret; the old one signs too for some hours (a whole number, as it was written)."""
    if not (hours.isascii() and hours.isdigit() and len(hours) <= 4):
        raise Invalid("hours", f"is a whole number, 0 to {rules.MAX_ROLL_HOURS}")
    known = _receivers(doing)
    with transaction(doing.engine) as tx:
        secret = service.roll(
            tx,
            merchant_id,
            endpoint_id,
            overlap_hours=int(hours),
            box=known.box,
            actor=doing.actor,
        )
    return Handed(f"Endpoint {endpoint_id} has another secret.", Signing(endpoint_id, secret))


@action("webhook.remove", "approver")
def remove(doing: Doing, *, merchant_id: int, endpoint_id: int) -> str:
    """Remove an endpoint for good; its log stays."""
    with transaction(doing.engine) as tx:
        canceled = service.remove(tx, merchant_id, endpoint_id, actor=doing.actor)
    return f"Removed endpoint {endpoint_id}; deliveries that were canceled by it: {canceled:,}."


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
