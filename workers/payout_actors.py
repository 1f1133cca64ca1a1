"""The payout actors: thin wrappers that turn messages and fires into calls of ``workers.payouts``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog

from domain.errors import DomainError
from domain.payouts.rules import Leave
from domain.payouts.service import Recorded
from queues.pause import Pauses
from workers import payouts, probing, progress, reconciling, returns, reversing
from workers.context import Runtime
from workers.registry import actor
from workers.sweeps import sweep

log = structlog.get_logger(__name__)


@actor("payouts.send", queue="payouts")
def send(rt: Runtime, payout_id: int) -> None:
    """Send one payout. What cannot be sent now waits for the sweep, with its reason on its row."""
    try:
        result = payouts.send(rt, payout_id)
        log.info("payout.send", payout_id=payout_id, result=result)
        rt.watch.payout_handled(_outcome(result))
    except DomainError as error:
        rt.watch.payout_handled("waits")
        log.warning("payout.waits", payout_id=payout_id, error=str(error))


@actor("payouts.resolve", queue="payouts")
def resolve(rt: Runtime, attempt_id: int) -> None:
    """Find out what became of an unknown attempt."""
    try:
        result = payouts.resolve(rt, attempt_id)
        log.info("payout.resolve", attempt_id=attempt_id, result=result)
        rt.watch.payout_handled(_outcome(result))
    except DomainError as error:
        rt.watch.payout_handled("waits")
        log.warning("payout.waits", attempt_id=attempt_id, error=str(error))


@actor("payouts.follow", queue="payouts")
def follow(rt: Runtime, attempt_id: int) -> None:
    """Ask what became of a payout to a bank whose news did not come."""
    try:
        log.info("payout.follow", attempt_id=attempt_id, result=payouts.follow(rt, attempt_id))
    except DomainError as error:
        log.warning("payout.waits", attempt_id=attempt_id, error=str(error))


@actor("payouts.progress", queue="payouts")
def look(rt: Runtime, payout_id: int) -> None:
    """Ask how a payout stands that a gateway delivers in stages. Who is not answered asks again later."""
    try:
        log.info("payout.progress", payout_id=payout_id, result=progress.look(rt, payout_id))
    except DomainError as error:
        log.warning("payout.waits", payout_id=payout_id, error=str(error))


@actor("payouts.reverse", queue="payouts")
def reverse(rt: Runtime, request_id: int) -> None:
    """Take a payout back as a person asked, or find out what became of that."""
    try:
        result = reversing.reverse(rt, request_id)
        log.info("payout.reverse", request_id=request_id, result=result)
    except DomainError as error:
        log.warning("payout.reversal_waits", request_id=request_id, error=str(error))


@actor("payouts.run", queue="sweeps")
def run(
    rt: Runtime,
    name: str,
    fire_at: str,
    merchant_id: int,
    minimums: dict[str, int],
    methods: Sequence[str] = ("stripe",),
) -> None:
    """Build the run of a fire, and send it unless a person has to approve it; ``fire_at`` is its as-of time."""

    def body(at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        return asdict(payouts.build(rt, merchant_id, name, at, minimums=minimums, methods=methods))

    sweep(rt, name, fire_at, body)


@actor("payouts.finish_run", queue="sweeps")
def finish_run(rt: Runtime, run_id: int) -> None:
    """Build a run that was opened, hand over one that was approved, cancel one that was rejected."""
    result = payouts.finish_run(rt, run_id)
    log.info("payout_run.finish", run_id=run_id, state=result.state, created=result.created)


@actor("payouts.sweep", queue="sweeps")
def sweep_stuck(rt: Runtime, name: str, fire_at: str) -> None:
    """Ask again for payouts that nothing happened to, and settle finished runs."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        paused = Pauses(rt.redis, rt.namespace).of("payouts") is not None
        return {"asked": payouts.sweep(rt, paused=paused)}

    sweep(rt, name, fire_at, body)


@actor("payouts.probe", queue="sweeps")
def probe(rt: Runtime, name: str, fire_at: str) -> None:
    """Ask gateways that stopped answering whether they are back."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        return probing.probe(rt)

    sweep(rt, name, fire_at, body)


@actor("payouts.returns", queue="sweeps")
def look_for_returns(rt: Runtime, name: str, fire_at: str, merchant_id: int, days: int) -> None:
    """Look for what came back and told nobody; killed at any page, the next fire goes on from there."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        try:
            report = returns.look_for_returns(rt, merchant_id, days=days)
        except DomainError as error:
            log.warning("returns.waits", merchant_id=merchant_id, error=str(error))
            return {"waits": str(error)}
        return {"skipped": 1} if report is None else asdict(report)

    sweep(rt, name, fire_at, body)


@actor("payouts.reconcile", queue="sweeps")
def reconcile(rt: Runtime, name: str, fire_at: str, merchant_id: int) -> None:
    """Compare a merchant's payouts with its gateway's books; killed at any page, it goes on from there."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        return reconciling.reconcile(rt, merchant_id, clock_may_move=rt.sandbox)

    sweep(rt, name, fire_at, body)


def _outcome(result: Recorded | Leave) -> str:
    return "left" if isinstance(result, Leave) else result.verdict.value
