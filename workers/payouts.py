"""What the payout actors do: open the transactions, call the gateway between them, never inside one.

The functions take a runtime and ids; the composition root registers them as `payouts.send`,
`payouts.resolve`, `payouts.follow`, `payouts.build` and `payouts.sweep`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog
from dramatiq.errors import ConnectionClosed
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import AttemptForgotten
from domain.payouts.gateway import BankLeg, Deadline, Gateway, Hidden, PaysBanks
from domain.payouts.rules import GatewayOutcome, Leave, Verdict
from domain.payouts.rules.bank_leg import BANK
from domain.payouts.rules.watermark import BEHIND, Mark
from domain.payouts.service import (
    Attempt,
    FrozenPayout,
    Recorded,
    Resolution,
    RunResult,
    RunSpec,
    breakers,
)
from queues.marks import Marks
from workers import mirroring
from workers.health import GatewayHealth
from workers.looking_again import look_before_run
from workers.pacing import Pace, wait_for_turn

log = structlog.get_logger(__name__)

UNTIL_KEPT: Final = timedelta(seconds=15)
"""How long a payout is put off while nobody can tell what is kept outside of the database."""


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
    def marks(self) -> Marks | None:
        """What is kept outside of the database of what was sent; None: nothing, and nothing is compared."""

    @property
    def health(self) -> GatewayHealth:
        """How the gateways answered this process lately."""


def send(runtime: Runtime, payout_id: int) -> Recorded | Leave:
    """Send a payout: commit to an attempt, keep it outside, call the gateway once, record the outcome.

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
        hindrance = _hindrance(gateway, payout) if payout.bank_leg else None
        # Begun before the lease, so that it ends before the lease.
        deadline = Deadline.begin()

        def begin(mark: Mark | None) -> Attempt | Leave:
            with connection.begin():
                return _begin(connection, payout, gateway, hindrance, mark)

        try:
            attempt, mark = mirroring.begin(runtime, begin)
        except ConnectionClosed as error:
            log.warning("payout.put_off", payout_id=payout_id, error=str(error)[:200])
            attempt, mark = Leave(BEHIND), None
        if attempt == Leave(BEHIND):
            with connection.begin():
                return service.put_off(connection, payout_id, UNTIL_KEPT)
        if isinstance(attempt, Leave):
            return attempt
        return _call_and_record(runtime, gateway, attempt, mark, deadline, connection)


def _begin(
    tx: Connection,
    payout: FrozenPayout,
    gateway: Gateway,
    hindrance: str | None,
    mark: Mark | None,
) -> Attempt | Leave:
    """Commit to an attempt of the leg that the payout is at."""
    if payout.leg == BANK:
        return service.begin_bank_attempt(tx, payout.payout_id, gateway, mark, hindrance=hindrance)
    if hindrance is not None:
        return service.begin_attempt(tx, payout.payout_id, gateway, mark, hindrance=hindrance)
    return service.begin_first_attempt(tx, payout, gateway, mark)


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

    def begin(mark: Mark | None) -> Resolution | Leave:
        with transaction(runtime.engine) as tx:
            return service.begin_resolution(tx, attempt_id, gateway.account, mark)

    try:
        resolution, mark = mirroring.begin(runtime, begin)
    except ConnectionClosed as error:
        log.warning("payout.put_off", attempt_id=attempt_id, error=str(error)[:200])
        resolution, mark = Leave(BEHIND), None
    if resolution == Leave(BEHIND):
        with transaction(runtime.engine) as tx:
            return service.put_off_resolution(tx, attempt_id, UNTIL_KEPT)
    if isinstance(resolution, Leave):
        return resolution
    attempt = resolution.attempt
    if resolution.may_replay:
        recorded = _call_and_record(runtime, gateway, attempt, mark, deadline)
        if recorded.verdict is not Verdict.UNKNOWN:
            return recorded
    found = _leg(gateway, attempt).find(attempt.params)
    with transaction(runtime.engine) as tx:
        return service.record_found(tx, attempt, found, final=resolution.final)


def _call_and_record(
    runtime: Runtime,
    gateway: Gateway,
    attempt: Attempt,
    mark: Mark | None,
    deadline: Deadline,
    connection: Connection | None = None,
) -> Recorded:
    unkept = mirroring.keep(runtime, attempt, mark, gateway.account)
    if unkept is not None:
        # Not sent, and not the gateway's doing: its attempt waits under its key, or stays unknown.
        log.warning("payout.unkept", attempt_id=attempt.attempt_id, why=unkept)
        return _record(runtime, attempt, GatewayOutcome("not_sent", message=unkept), connection)
    outcome = _leg(gateway, attempt).send(
        attempt.params, key=attempt.key, api_version=attempt.api_version, deadline=deadline
    )
    recorded = _record(runtime, attempt, outcome, connection)
    open_breaker_if_down(runtime, attempt.merchant_id, attempt.method, outcome)
    return recorded


def follow(runtime: Runtime, attempt_id: int) -> str:
    """Ask what became of a payout to a bank whose news did not come. Repeating it changes nothing."""
    with transaction(runtime.engine) as tx:
        followed = service.to_follow(tx, attempt_id)
    if followed is None:
        return "left"
    gateway = runtime.gateways(followed.merchant_id, followed.method)
    assert isinstance(gateway, PaysBanks), f"{gateway.method} has no second leg"
    seen = gateway.bank.payout(followed.account, followed.external_id)
    if seen is None:
        return "waits"
    with transaction(runtime.engine) as tx:
        if isinstance(seen, Hidden):
            service.keep_following(tx, attempt_id, hidden=True)
            return "hidden"
        booked = service.apply_bank_payout(tx, followed.merchant_id, gateway.account, seen)
        service.keep_following(tx, attempt_id)
    return booked.name.lower()


def _leg(gateway: Gateway, attempt: Attempt) -> Gateway | BankLeg:
    """Where an attempt is sent and looked up: each leg has calls of its own."""
    if attempt.leg != BANK:
        return gateway
    assert isinstance(gateway, PaysBanks), f"{gateway.method} has no second leg"
    return gateway.bank


def _hindrance(gateway: Gateway, payout: FrozenPayout) -> str | None:
    """Why the account cannot pay out now; None if it can, or if nobody answered: the send will say."""
    assert isinstance(gateway, PaysBanks), f"{gateway.method} has no second leg"
    account = gateway.bank.account(payout.destination)
    return None if account is None else account.hindrance_in(payout.currency)


def open_breaker_if_down(
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
    try:
        with transaction(runtime.engine) as tx:
            return service.record_outcome(tx, attempt, outcome)
    except AttemptForgotten:
        with suppress(ConnectionClosed):
            mirroring.check(runtime)
        raise


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
    # Before anything is claimed: what two people earned by one another who are now paid to one account.
    look_before_run(runtime.engine, merchant_id)
    return service.build_run(runtime.engine, spec, rate=runtime.pace.rate, on_progress=on_progress)


def finish_run(runtime: Runtime, run_id: int) -> RunResult:
    """Take a run as far as it goes without a person, from wherever it stands; repeating it is safe."""
    look_before_run(runtime.engine)
    return service.finish_run(runtime.engine, run_id, rate=runtime.pace.rate)


def sweep(runtime: Runtime, *, paused: bool = False) -> int:
    """Ask again for payouts, and reversals, that nothing happened to, and settle finished runs; returns how
    many were asked for.

    While their queue is ``paused``, that nothing happens to them is what was asked for: no one is asked.
    """
    asked = 0
    if not paused:
        with transaction(runtime.engine) as tx:
            asked = service.sweep_stuck(tx)
        with transaction(runtime.engine) as tx:
            asked += service.sweep_reversals(tx)
    service.tend_runs(runtime.engine, rate=runtime.pace.rate)
    with transaction(runtime.engine) as tx:
        service.settle_runs(tx)
    return asked
