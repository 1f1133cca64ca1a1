"""Asking gateways how money stands that is on its way; never in a transaction."""

from __future__ import annotations

from domain.db import transaction
from domain.payouts.gateway import TellsProgress
from domain.payouts.rules import Leave
from domain.payouts.service import progress
from domain.payouts.service.pacing import put_off_look
from domain.payouts.service.progress import Applied
from workers.pacing import wait_for_turn
from workers.payouts import Runtime


def look(runtime: Runtime, payout_id: int) -> Applied | Leave:
    """Ask how a payout stands that a gateway has taken, and apply it; or leave it, and why.

    It is what the sweep does where no notice came. An account that the key is not of is not asked: it
    knows nothing of the transfer.
    """
    with transaction(runtime.engine) as tx:
        found = progress.on_its_way(tx, payout_id)
    if found is None:
        return Leave("settled")
    gateway = runtime.gateways(found.merchant_id, found.method)
    if not isinstance(gateway, TellsProgress):
        return Leave("tells_no_progress")
    if gateway.account != found.account:
        return Leave("other_account")
    later = wait_for_turn(runtime.pace, gateway)
    if later is not None:
        with transaction(runtime.engine) as tx:
            return put_off_look(tx, payout_id, later)
    seen = gateway.progress(found.external_id)
    if seen is None:
        return Leave("silent")
    with transaction(runtime.engine) as tx:
        return progress.apply_progress(tx, found.merchant_id, seen, found.asked_at)
