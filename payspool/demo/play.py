"""Plays the story: moves business time, publishes what happens in it, and waits at every sweep."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import text

from domain import clock
from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.errors import NotFound
from domain.loyalty import service as loyalty
from domain.merchants import service as merchants
from domain.merchants.service import Merchant
from domain.payouts.rules import LEASE
from domain.referrals import admin
from domain.referrals.admin import NewCode
from domain.schedules.rules import Cron, next_after
from domain.secrets import SecretBox
from payspool.demo import story
from payspool.installing import expiry_schedule, payout_schedule
from payspool.sandbox_client import DEFAULT_KEY, SandboxClient
from payspool_client import Event, Publisher
from queues.inspect import is_idle
from workers.context import Runtime

ACTOR: Final = Actor("command", "demo")
FUNDS: Final = 500_000_00
"""What the demo's platform holds in cents."""
STEP_SECONDS: Final = 60.0
"""Longest wait for one step of the story; each takes a fraction of a second."""
LOOK_SECONDS: Final = 0.02

QUEUES: Final = ("events", "payouts", "sweeps", "webhooks")


class Stuck(Exception):
    """A step of the story did not finish in time; the message says what was left."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The merchant of the story, set up."""

    merchant: Merchant
    accounts: dict[str, str]
    resumed: bool


def set_up(rt: Runtime, box: SecretBox, stripe_url: str, founders: list[story.Founder]) -> Stage:
    """Add the story's merchant, programs, codes, schedules and sandbox accounts, or find them."""
    with SandboxClient(stripe_url) as sandbox:
        known = sandbox.accounts(story.MERCHANT)
        accounts = {
            f.customer: known.get(f.customer) or sandbox.new_account(story.MERCHANT, f.customer)
            for f in founders
            if f.has_account
        }
        if not sandbox.balance().get(story.CURRENCY):
            sandbox.fund(FUNDS, story.CURRENCY)
    with transaction(rt.engine) as tx:
        try:
            return Stage(merchants.get(tx, story.MERCHANT), accounts, resumed=True)
        except NotFound:
            clock.simulate(tx, story.START, sandbox=rt.sandbox)
            return Stage(_install(tx, box, stripe_url, founders), accounts, resumed=False)


def _install(tx: Tx, box: SecretBox, stripe_url: str, founders: list[story.Founder]) -> Merchant:
    merchant = merchants.add(tx, story.MERCHANT, "CDNOW", mode="test", actor=ACTOR)
    merchants.set_stripe_account(
        tx,
        merchant,
        api_key=DEFAULT_KEY,
        base_url=stripe_url,
        webhook_secret=None,
        box=box,
        actor=ACTOR,
    )
    for key, terms in story.PROGRAMS.items():
        admin.create_program(tx, merchant.id, key, key.capitalize(), terms, actor=ACTOR)
        codes = [NewCode(f.customer, f.code) for f in founders if f.program == key]
        admin.create_codes(tx, merchant.id, key, codes, actor=ACTOR)
    loyalty.create_program(
        tx,
        merchant.id,
        story.POINTS_PROGRAM,
        name="Music points",
        currency=story.CURRENCY,
        welcome_bonus=50,
        min_redemption=story.REDEEM_POINTS,
        inactivity_days=180,
    )
    payout_schedule(tx, merchant, story.MINIMUMS, story.RUN_CRON)
    expiry_schedule(tx, merchant, story.EXPIRY_CRON)
    return merchant


def stops(start: datetime, end: datetime) -> list[datetime]:
    """Every moment at which a sweep fires, ascending, and the end."""
    moments = {end}
    for timing in (Cron(story.RUN_CRON), Cron(story.EXPIRY_CRON)):
        at = next_after(timing, start)
        while at <= end:
            moments.add(at)
            at = next_after(timing, at)
    return sorted(moments)


def play(
    rt: Runtime,
    redis_url: str,
    stage: Stage,
    rows: list[story.Purchase],
    founders: list[story.Founder],
    progress: Callable[[datetime, int], None],
) -> int:
    """Publish everything and let every sweep happen; returns the number of events published.

    On a second run everything is published again: all of it is known, so nothing changes and nobody is
    paid twice.
    """
    published = 0
    events = story.events(rows, founders)
    position, merchant_id = 0, stage.merchant.id
    if stage.resumed:
        _end_leases_of_the_dead(rt)
    with Publisher(redis_url, namespace=rt.namespace) as publisher:
        published += publisher.publish_many(list(story.payees(founders, stage.accounts)))
        _wait(rt, merchant_id)
        if stage.resumed and _business_now(rt) >= story.END:
            published += publisher.publish_many(events)
            _wait(rt, merchant_id)
            progress(story.END, published)
            return published
        for stop in stops(story.START, story.END):
            due: list[Event] = []
            while position < len(events) and events[position].time <= stop:
                due.append(events[position])
                position += 1
            if due:
                _move(rt, max(due[-1].time, story.START))
                published += publisher.publish_many(due)
                _wait(rt, merchant_id)
            _move(rt, stop)
            _wait(rt, merchant_id)
            progress(stop, published)
    return published


def _business_now(rt: Runtime) -> datetime:
    with transaction(rt.engine) as tx:
        return clock.business_now(tx)


def _move(rt: Runtime, at: datetime) -> None:
    """Move business time forward; an interrupted story that is resumed may be past ``at`` already."""
    with transaction(rt.engine) as tx:
        if clock.business_now(tx) < at:
            clock.simulate(tx, at, sandbox=rt.sandbox)


def _end_leases_of_the_dead(rt: Runtime) -> None:
    """Let the sweep take up at once what an earlier run was sending when it was killed.

    A lease outlasts a sender by two minutes, because elsewhere nobody can tell that it is dead. Here
    all of them are: the demo's servers never run without its guard, and are older than its workers.
    """
    with transaction(rt.engine) as tx:
        tx.execute(text(_END_LEASES), {"lease": LEASE})


_END_LEASES: Final = """
    WITH held AS (
        SELECT p.id, a.id AS attempt_id FROM payouts p JOIN payout_attempts a ON a.payout_id = p.id
        WHERE a.lease_until > clock_timestamp()
          AND a.lease_until <= pg_postmaster_start_time() + CAST(:lease AS interval)
        ORDER BY p.id FOR NO KEY UPDATE OF p
    ), ended AS (
        UPDATE payout_attempts a SET lease_until = clock_timestamp() FROM held WHERE a.id = held.attempt_id
    )
    UPDATE payouts p SET look_at = clock_timestamp() FROM held WHERE p.id = held.id
"""


def _wait(rt: Runtime, merchant_id: int) -> None:
    """Wait until everything that is under way has come to rest."""
    deadline = time.monotonic() + STEP_SECONDS
    while True:
        left = next(_under_way(rt, merchant_id), None)
        if left is None:
            return
        if time.monotonic() > deadline:
            raise Stuck(f"After {STEP_SECONDS:.0f} s this is still under way: {left}.")
        time.sleep(LOOK_SECONDS)


def _under_way(rt: Runtime, merchant_id: int) -> Iterator[str]:
    """What is not at rest, in the order in which work travels."""
    if not is_idle(rt.redis, rt.namespace, ["events"]):
        yield "events on their queue"
    with transaction(rt.engine) as tx:
        row = tx.execute(text(_UNDER_WAY), {"merchant_id": merchant_id}).one()
    for name, count in row._mapping.items():
        if count:
            yield f"{count} {name}"
    if not is_idle(rt.redis, rt.namespace, QUEUES):
        yield "messages on the queues"


_UNDER_WAY: Final = """
    SELECT (SELECT count(*) FROM schedules s, business_clock c
            WHERE s.cron IS NOT NULL AND s.paused_at IS NULL AND s.next_fire_at <= c.simulated_at)
               AS "schedules due",
           (SELECT count(*) FROM schedule_fires f JOIN schedules s USING (name)
            WHERE s.cron IS NOT NULL AND f.state IN ('emitted', 'running')) AS "sweeps running",
           (SELECT count(*) FROM outbox WHERE queue = 'payouts') AS "payouts in the outbox",
           (SELECT count(*) FROM payouts
            WHERE merchant_id = :merchant_id AND state IN ('draft', 'approved', 'sending', 'unknown'))
               AS "payouts on their way"
"""


def sample() -> Path:
    """The file of purchases."""
    return Path(__file__).resolve().parents[2] / "examples" / "cdnow_purchases.csv"


def days_between(start: datetime, end: datetime) -> int:
    """Whole days from ``start`` to ``end``, for the progress bar."""
    return (end - start) // timedelta(days=1)
