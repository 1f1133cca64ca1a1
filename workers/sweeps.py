"""The sweeps: what fires do. Each takes ``fire_at`` as its cut-off, never the wall clock, and may run
twice, late, or be killed in the middle: the fire keeps its progress."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import structlog

from domain import clock
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx, snapshot, transaction
from domain.earnings import service as earnings
from domain.inbox import service as inbox
from domain.ledger import service as ledger
from domain.loyalty import service as loyalty
from domain.payouts import service as payouts
from domain.schedules import service as schedules
from queues.pause import Pauses
from workers import dead_letters
from workers.context import Runtime
from workers.failures import is_infrastructure
from workers.guilt import bury_guilty
from workers.registry import actor

log = structlog.get_logger(__name__)

EXPIRY_RANGE: Final = 500
"""Due cards that one transaction of the expiry sweep locks: a redemption of one of them waits for it."""
EXPIRY_PASSES: Final = 5
"""How often a fire comes back to cards that were held; the next fire takes what is left."""

Body = Callable[[datetime, Mapping[str, Any]], dict[str, Any]]
"""(fire_at, progress so far) → what it did."""


def sweep(rt: Runtime, name: str, fire_at: str, body: Body) -> None:
    """Run a fire: once, however often its message comes."""
    at = datetime.fromisoformat(fire_at)
    with transaction(rt.engine) as tx:
        progress = schedules.begin(tx, name, at)
    if progress is None:
        return
    did = body(at, progress)
    with transaction(rt.engine) as tx:
        schedules.finish(tx, name, at, did)
    if any(did.values()):
        log.info("sweep.done", name=name, fire_at=fire_at, **did)


@actor("inbox.recheck_waiting", queue="sweeps")
def recheck_waiting(rt: Runtime, name: str, fire_at: str) -> None:
    """Look at waiting events again: the net below the correlation locks."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        settled, after = 0, 0
        while True:
            left, following = _recheck_page(rt, after)
            settled += left
            if following is None:
                return {"settled": settled}
            after = following

    sweep(rt, name, fire_at, body)


def _recheck_page(rt: Runtime, after: int) -> tuple[int, int | None]:
    """One page of what waits: an event with a bug is buried, and holds up none behind it."""
    try:
        with transaction(rt.engine) as tx:
            return inbox.recheck_waiting(tx, after)
    except Exception as error:
        if is_infrastructure(error):
            raise
    return bury_guilty(rt, lambda tx, stored: inbox.recheck_waiting(tx, after, stored))


@actor("schedules.re_emit", queue="sweeps")
def re_emit(rt: Runtime, name: str, fire_at: str) -> None:
    """Emit messages of fires again that were lost."""
    paused = list(Pauses(rt.redis, rt.namespace).all())

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        with transaction(rt.engine) as tx:
            return {"emitted": schedules.re_emit_stale(tx, paused)}

    sweep(rt, name, fire_at, body)


@actor("queues.mirror_dead", queue="sweeps")
def mirror_dead(rt: Runtime, name: str, fire_at: str) -> None:
    """Keep dead letters that are in Redis only, and let Redis forget those that are decided."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        return asdict(dead_letters.mirror(rt))

    sweep(rt, name, fire_at, body)


@actor("loyalty.expire_points", queue="sweeps")
def expire_points(rt: Runtime, name: str, fire_at: str, merchant_id: int) -> None:
    """Book the expiry of what is due at ``fire_at``, range by range, and settle tiers; announce what is next of both."""

    def body(at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        did = expire_due(rt, merchant_id, at)
        did["announced"] = announce_due(rt, merchant_id, at)
        did["tiers"] = sum(settle_tiers(rt, merchant_id, at).values())
        return did | {"warned": announce_falls(rt, merchant_id, at)}

    sweep(rt, name, fire_at, body)


@actor("loyalty.time_out_holds", queue="sweeps")
def time_out_holds(rt: Runtime, name: str, fire_at: str) -> None:
    """Close the holds whose time is over. Holds end in business time, which may be simulated: each
    transaction reads it."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        closed = 0
        while True:
            with transaction(rt.engine) as tx:
                done = loyalty.time_out_holds(tx, clock.business_now(tx))
            if not done:
                return {"closed": closed}
            closed += done

    sweep(rt, name, fire_at, body)


def expire_due(
    rt: Runtime, merchant_id: int, at: datetime, tell: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Expire a merchant's due cards, each range in a transaction of its own, those held by others again.

    ``tell`` hears after each range how many cards of a pass are done, and of how many.
    """
    cards = points = skipped = 0
    for _ in range(EXPIRY_PASSES):
        with transaction(rt.engine) as tx:
            ranges = loyalty.plan_expiry(tx, merchant_id, at, EXPIRY_RANGE)
        skipped = looked_at = 0
        due = sum(part.cards for part in ranges)
        for part in ranges:
            with transaction(rt.engine) as tx:
                done = loyalty.expire_range(tx, merchant_id, part.first_id, part.last_id, at)
            cards, points, skipped = (
                cards + done.cards,
                points + done.points,
                skipped + done.skipped,
            )
            looked_at += part.cards
            if tell is not None:
                tell(looked_at, due)
        if not skipped:
            break
    return {"cards": cards, "points": points, "skipped": skipped}


def announce_due(rt: Runtime, merchant_id: int, at: datetime) -> int:
    """Announce what expires soon on a merchant's cards; returns how many notices were new."""
    announced, after = 0, 0
    while True:
        with transaction(rt.engine) as tx:
            new, last = loyalty.announce_expiring(tx, merchant_id, at, after)
        announced += new
        if last is None:
            return announced
        after = last


def settle_tiers(
    rt: Runtime, merchant_id: int, at: datetime, *, dry_run: bool = False
) -> Counter[tuple[str, str | None, str | None]]:
    """Bring the tiers of a merchant's cards to ``at``, page by page, each in a transaction of its own: first where other
    tiers hold, then where a period has ended.

    Returns how many cards of a program went from which tier to which; with ``dry_run``, would go.
    """
    changed: Counter[tuple[str, str | None, str | None]] = Counter()
    cursor: tuple[int, int] | None = (0, 0)
    while cursor is not None:
        with transaction(rt.engine) as tx:
            anew = loyalty.recount_tiers(tx, merchant_id, at, cursor, dry_run=dry_run)
        changed.update((one.card.program.key, one.before, one.after) for one in anew.changes)
        cursor = anew.cursor
    after = 0
    while True:
        with transaction(rt.engine) as tx:
            done = loyalty.settle_tiers(tx, merchant_id, at, after, dry_run=dry_run)
        changed.update((one.card.program.key, one.before, one.after) for one in done.changes)
        if done.last is None:
            return changed
        after = done.last


def announce_falls(rt: Runtime, merchant_id: int, at: datetime) -> int:
    """Announce the tiers that fall soon on a merchant's cards; returns how many notices were new."""
    announced, after = 0, 0
    while True:
        with transaction(rt.engine) as tx:
            new, last = loyalty.announce_falls(tx, merchant_id, at, after)
        announced += new
        if last is None:
            return announced
        after = last


@actor("invariants.check", queue="sweeps")
def check_invariants(rt: Runtime, name: str, fire_at: str) -> None:
    """Check what must always hold; a violation is logged and audited."""

    def body(_at: datetime, _progress: Mapping[str, Any]) -> dict[str, Any]:
        with snapshot(rt.engine) as tx:
            violations = broken_invariants(tx)
        with transaction(rt.engine) as tx:
            for sentence in violations:
                log.error("invariant.broken", detail=sentence)
                audit.record(
                    tx,
                    Actor("scheduler", name),
                    "invariant.broken",
                    merchant_id=None,
                    subject_kind="invariant",
                    subject_id=name,
                    reason=sentence,
                )
        return {"violations": len(violations)}

    sweep(rt, name, fire_at, body)


def broken_invariants(tx: Tx) -> list[str]:
    """Sentences, one for each invariant of any subject that does not hold; ``tx`` is a snapshot."""
    return [
        *ledger.check_invariants(tx),
        *earnings.check_invariants(tx),
        *payouts.check_invariants(tx),
        *loyalty.check_invariants(tx),
    ]
