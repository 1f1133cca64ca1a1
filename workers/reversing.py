"""What the reversal actor does: between its transactions, never inside one, it asks the gateway."""

from __future__ import annotations

import structlog
from dramatiq.errors import ConnectionClosed

from domain.db import transaction
from domain.payouts import service
from domain.payouts.gateway import Deadline, TakesBack
from domain.payouts.rules import Leave, Verdict
from domain.payouts.service import TakenBack
from workers import mirroring
from workers.pacing import wait_for_turn
from workers.payouts import UNTIL_KEPT, Runtime, open_breaker_if_down

log = structlog.get_logger(__name__)


def reverse(runtime: Runtime, request_id: int) -> TakenBack | Leave:
    """Ask the gateway to take back what a person asked for, or find out what became of that.

    Repeating it is always safe: a live or settled request is left alone, and why is returned. A replay that
    proves nothing is followed by a look-up, which costs nothing and may settle it.
    """
    with transaction(runtime.engine) as tx:
        route = service.route_of_reversal(tx, request_id)
    gateway = runtime.gateways(route.merchant_id, route.method)
    if not isinstance(gateway, TakesBack):
        why = f"{route.method} cannot take back what it paid"
        with transaction(runtime.engine) as tx:
            return service.refuse_reversal(tx, request_id, "not_supported", why)
    later = wait_for_turn(runtime.pace, gateway)
    if later is not None:
        with transaction(runtime.engine) as tx:
            return service.put_off_reversal(tx, request_id, later)
    try:
        # A database that may have forgotten what it had taken back is stopped here, before it asks for it again.
        mirroring.check(runtime)
    except ConnectionClosed as error:
        log.warning("reversal.put_off", request_id=request_id, error=str(error)[:200])
        with transaction(runtime.engine) as tx:
            return service.put_off_reversal(tx, request_id, UNTIL_KEPT)
    # Begun before the lease, so that it ends before the lease.
    deadline = Deadline.begin()
    with transaction(runtime.engine) as tx:
        call = service.begin_reversal(
            tx,
            request_id,
            gateway.reversals,
            account=gateway.account,
            api_version=gateway.api_version,
        )
    if isinstance(call, Leave):
        return call
    if call.may_send:
        outcome = gateway.reversals.reverse(
            call.params, key=call.key, api_version=call.api_version, deadline=deadline
        )
        with transaction(runtime.engine) as tx:
            recorded = service.record_reversal(tx, call, outcome)
        open_breaker_if_down(runtime, call.merchant_id, call.method, outcome)
        if call.first or recorded.verdict is not Verdict.UNKNOWN:
            return recorded
    found = gateway.reversals.find(call.params)
    with transaction(runtime.engine) as tx:
        return service.record_found_reversals(tx, call, found)
