"""What the payout actors do: open the transactions, call the gateway between them, never inside one.

The functions take a runtime and ids; the composition root registers them as `payouts.send`,
`payouts.resolve`, `payouts.build` and `payouts.sweep`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from domain.db import transaction
from domain.payouts import service
from domain.payouts.gateway import Deadline, Gateway
from domain.payouts.rules import GatewayOutcome, Leave, Verdict
from domain.payouts.service import Attempt, Recorded, RunResult, RunSpec, breakers
from workers.health import GatewayHealth
from workers.pacing import Pace, wait_for_turn

log = structlog.get_logger(__name__)


class Runtime(Protocol):
    """What these functions need of the composition root."""

    @property
    def engine(self) -> Engine:
        """The runtime role's engine."""

    @property
    def gateways(self) -> Callable[[int, str], Gateway]:
        """The gateway of a merchant and method; called outside of any transaction."""

    @property
    def pace(self) -> Pace:
        """How many payouts a second go to one account of a gateway."""

    @property
    def health(self) -> GatewayHealth:
        """How the gateways answered this process lately."""


def send(runtime: Runtime, payout_id: int) -> Recorded | Leave:
    """Send a payout: commit to an attempt, call the gateway once, record the outcome.

    Repeating it is always safe: a live or settled attempt is left alone, and why is returned. Its
    transactions share one connection, which is idle, and in none of them, while the gateway is called.
    """
    with runtime.engine.connect() as connection:
        with connection.begin():
            payout = service.frozen(connection, payout_id)
            if payout.method == "manual":
                # People pay it out of a bank file; there is no gateway to ask.
                return service.leave_for_bank_file(connection, payout_id)
        gateway = runtime.gateways(payout.merchant_id, payout.method)
        later = wait_for_turn(runtime.pace, gateway)
        if later is not None:
            with connection.begin():
                return service.put_off(connection, payout_id, later)
        # Begun before the lease, so that it ends before the lease.
        deadline = Deadline.begin()
        with connection.begin():
            attempt = service.begin_first_attempt(connection, payout, gateway)
        if isinstance(attempt, Leave):
            return attempt
        return _call_and_record(runtime, gateway, attempt, deadline, connection)


def resolve(runtime: Runtime, attempt_id: int) -> Recorded | Leave:
    """Find out what became of an attempt: ask with the same key while that is safe, else look it up.

    A replay that proves nothing is followed by a look-up, which costs nothing and may settle it.
    """
    with transaction(runtime.engine) as tx:
        route = service.route_of_attempt(tx, attempt_id)
    if route.method == "manual":
        return Leave("manual")
    gateway = runtime.gateways(route.merchant_id, route.method)
    later = wait_for_turn(runtime.pace, gateway)
    if later is not None:
        with transaction(runtime.engine) as tx:
            return service.put_off_resolution(tx, attempt_id, later)
    deadline = Deadline.begin()
    with transaction(runtime.engine) as tx:
        resolution = service.begin_resolution(tx, attempt_id, gateway.account)
    if isinstance(resolution, Leave):
        return resolution
    attempt = resolution.attempt
    if resolution.may_replay:
        recorded = _call_and_record(runtime, gateway, attempt, deadline)
        if recorded.verdict is not Verdict.UNKNOWN:
            return recorded
    found = gateway.find(attempt.params)
    with transaction(runtime.engine) as tx:
        return service.record_found(tx, attempt, found, final=resolution.final)


def _call_and_record(
    runtime: Runtime,
    gateway: Gateway,
    attempt: Attempt,
    deadline: Deadline,
    connection: Connection | None = None,
) -> Recorded:
    outcome = gateway.send(
        attempt.params, key=attempt.key, api_version=attempt.api_version, deadline=deadline
    )
    recorded = _record(runtime, attempt, outcome, connection)
    _open_breaker_if_down(runtime, attempt.merchant_id, attempt.method, outcome)
    return recorded


def _open_breaker_if_down(
    runtime: Runtime, merchant_id: int, method: str, outcome: GatewayOutcome
) -> None:
    """After the outcome is recorded: if this is lost, the next call that fails opens it."""
    trip = runtime.health.saw(merchant_id, method, outcome)
    if trip is None:
        return
    with transaction(runtime.engine) as tx:
        opened = breakers.open_breaker(tx, merchant_id, method, trip)
    if opened is not None:
        log.error("breaker.opened", merchant_id=merchant_id, method=method, reason=opened.reason)


def _record(
    runtime: Runtime, attempt: Attempt, outcome: GatewayOutcome, connection: Connection | None
) -> Recorded:
    """Record an outcome, on a new connection if the given one was lost during the call.

    An outcome that was recorded before the loss is found recorded, and changes nothing.
    """
    if connection is not None:
        try:
            with connection.begin():
                return service.record_outcome(connection, attempt, outcome)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
    with transaction(runtime.engine) as tx:
        return service.record_outcome(tx, attempt, outcome)


def build(
    runtime: Runtime,
    merchant_id: int,
    name: str,
    as_of: datetime,
    *,
    minimums: Mapping[str, int] | None = None,
    methods: Sequence[str] = ("stripe",),
    on_progress: Callable[[int], None] | None = None,
) -> RunResult:
    """Build the run of this name and time, freeze and approve it, and ask for its sends.

    Repeating it resumes what was interrupted, and tells what a finished run made. ``minimums`` are in
    minor units by currency.
    """
    spec = RunSpec(merchant_id, name, as_of, minimums or {}, tuple(methods))
    return service.build_run(runtime.engine, spec, rate=runtime.pace.rate, on_progress=on_progress)


def sweep(runtime: Runtime, *, paused: bool = False) -> int:
    """Ask again for payouts that nothing happened to, and settle finished runs; returns how many were asked for.

    While their queue is ``paused``, that nothing happens to them is what was asked for: no one is asked.
    """
    asked = 0
    if not paused:
        with transaction(runtime.engine) as tx:
            asked = service.sweep_stuck(tx)
    service.tend_runs(runtime.engine, rate=runtime.pace.rate)
    with transaction(runtime.engine) as tx:
        service.settle_runs(tx)
    return asked
