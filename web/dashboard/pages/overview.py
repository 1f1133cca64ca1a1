"""What needs a person now, and how the money stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from domain import clock
from domain.db import Tx
from domain.dead_letters import store as dead_store
from domain.inbox import store as inbox_store
from domain.ledger import store as ledger_store
from domain.loyalty.service import velocity_desk
from domain.payouts.store import breakers, finding, shortfalls, stops
from domain.referrals import holds
from domain.schedules import guarding
from domain.schedules import store as schedule_store
from domain.webhooks import store as webhooks
from queues.inspect import QueueState
from web.dashboard.components.live import head, later, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import (
    chip,
    duration,
    figure,
    link,
    money,
    number,
    number_text,
    sheet,
    when,
)
from web.dashboard.components.table import Column, table
from web.dashboard.pages import today
from web.dashboard.pages.queues import queue_states
from web.dashboard.shell import COUNTED_TO, Pages, Shown
from web.dashboard.visit import Visit

LATE_SECONDS: Final = 900.0
"""A schedule that is later than this needs a look; sweeps run every few minutes at most."""
MONEY_MAX: Final = 100_000
"""Unsettled payouts that are summed."""


@dataclass(frozen=True)
class _Now:
    """What the page shows; equal reads are drawn once."""

    dead: int
    events: dict[str, int]
    payouts: dict[str, int]
    holds: int
    velocity: int
    webhooks: int
    stops: list[Any]
    breakers: list[Any]
    shortfalls: list[Any]
    late: list[Any]
    violations: Any
    hold: Any
    money: list[Any]
    runs: list[Any]


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/", "Overview", _draw)


async def _draw(shown: Shown) -> None:
    visit = shown.visit

    async def load() -> tuple[_Now, list[QueueState] | None]:
        now = await visit.read(_now)
        return now, await queue_states(visit)

    async def owed() -> None:
        # A row a payee is summed, so it comes after the page and stands for a minute.
        await live(
            visit,
            lambda: visit.read(ledger_store.owed),
            lambda rows: _owed(visit, rows),
            seconds=60,
        )

    head("Overview")
    await live(visit, load, lambda data: _show(visit, *data), seconds=10)
    later(lambda: today.draw(visit), "The day is being summed…")
    later(owed, "What is owed is being summed…")


def _now(tx: Tx) -> _Now:
    at = clock.business_now(tx)
    late = [row for row in schedule_store.lags(tx, at) if (row.late_seconds or 0) > LATE_SECONDS]
    checked = schedule_store.last_done(tx, "invariants.check")
    return _Now(
        dead=sum(dead_store.open_counts(tx, COUNTED_TO).values()),
        events=inbox_store.attention_counts(tx, COUNTED_TO),
        payouts=finding.needing_a_person(tx, COUNTED_TO),
        holds=holds.to_decide(tx, COUNTED_TO),
        velocity=velocity_desk.to_decide(tx, COUNTED_TO),
        webhooks=len(webhooks.stopped_by_themselves(tx, COUNTED_TO)),
        stops=list(stops.listed(tx)),
        breakers=breakers.listed(tx),
        shortfalls=shortfalls.listed(tx),
        late=late,
        violations=checked,
        hold=guarding.present_hold(tx),
        money=finding.open_money(tx, MONEY_MAX),
        runs=finding.last_runs(tx, 6),
    )


def _show(visit: Visit, now: _Now, states: list[QueueState] | None) -> None:
    put(_attention(visit, now))
    put(
        tag(
            "div",
            sheet(_money(visit, now), title="Payouts on their way", flush=True),
            sheet(_queues(visit, states), title="Queues", flush=True),
            class_="cols",
        )
    )
    put(sheet(_runs(visit, now), title="Newest payout runs", flush=True))


def _attention(visit: Visit, now: _Now) -> Html:
    broken = (now.violations.progress or {}).get("violations", 0) if now.violations else 0
    asked: list[tuple[int, str, str, str]] = [
        (broken, "broken invariants", "/audit?action=invariant.broken", "bad"),
        (now.payouts["unknown"], "payouts of unknown outcome", "/search?find=unknown", "bad"),
        (now.payouts["frozen"], "payouts stopped in doubt", "/search?find=frozen", "bad"),
        (
            now.payouts["differences"],
            "differences with a gateway",
            "/search?find=differences",
            "bad",
        ),
        (now.dead, "dead letters", "/dead", "bad"),
        (now.events.get("dead", 0), "events stopped by a bug", "/search?find=dead", "bad"),
        (now.payouts["approvals"], "runs to approve", "/search?find=approvals", "warn"),
        (now.payouts["failed"], "failed payouts", "/search?find=failed", "warn"),
        (now.payouts["reversals"], "reversals to decide", "/search?find=reversals", "warn"),
        (now.payouts["adjustments"], "adjustments to agree to", "/search?find=adjustments", "warn"),
        (now.holds, "rewards held as possible fraud", "/search?find=holds", "warn"),
        (now.velocity, "events that were too fast", "/search?find=velocity", "warn"),
        (now.webhooks, "webhook endpoints given up", "/search?find=webhooks", "warn"),
        (len(now.stops), "stops of sending", "/stops", "warn"),
        (len(now.shortfalls), "balances too small", "/stops", "warn"),
        (len(now.late), "schedules late", "/schedules", "warn"),
        (now.events.get("rejected", 0), "rejected events", "/search?find=rejected", ""),
        (now.events.get("waiting", 0), "events waiting for another", "/search?find=waiting", ""),
        (now.events.get("unreadable", 0), "unreadable messages", "/dead?tab=unreadable", ""),
    ]
    shown = [
        figure(_upto(visit, count), what, address=address, kind=kind)
        for count, what, address, kind in asked
        if count
    ]
    title = tag("h2", "Needs a person")
    hold = tag("p", now.hold.sentence, class_="wrong", role="alert") if now.hold else Html("")
    if not shown:
        calm = tag("p", "Nothing needs a person now.", class_="sheet")
        return tag("section", title, hold, calm)
    return tag("section", title, hold, tag("div", *shown, class_="figures"))


def _upto(visit: Visit, count: int) -> str:
    return f"{count}+" if count >= COUNTED_TO else number_text(visit, count)


def _money(visit: Visit, now: _Now) -> Html:
    return table(
        [
            Column("Merchant", lambda r: link(r.merchant, f"/m/{r.merchant}/payouts")),
            Column("State", lambda r: chip(r.state)),
            Column("Number", lambda r: number(visit, r.payouts), "num"),
            Column("Amount", lambda r: money(visit, r.amount, r.currency), "num"),
        ],
        now.money,
        empty="No payout is on its way.",
        label="Payouts by merchant, state and currency",
    )


def _owed(visit: Visit, rows: list[Any]) -> None:
    shown = table(
        [
            Column("Merchant", lambda r: link(r.merchant, f"/m/{r.merchant}/payees")),
            Column("People", lambda r: number(visit, r.users), "num"),
            Column("Amount", lambda r: money(visit, r.amount, r.currency), "num"),
        ],
        rows,
        empty="Nobody is owed anything.",
        label="What is owed by merchant and currency",
    )
    put(sheet(shown, title="Owed, not in a payout", flush=True))


def _queues(visit: Visit, states: list[QueueState] | None) -> Html:
    if states is None:
        return tag("p", "Valkey does not answer now.", class_="empty")
    return table(
        [
            Column("Queue", lambda s: link(s.queue, "/queues")),
            Column("Ready", lambda s: number(visit, s.ready), "num"),
            Column("In flight", lambda s: number(visit, s.in_flight), "num"),
            Column("Oldest", lambda s: duration(s.oldest_seconds), "num"),
        ],
        states,
        empty="No queues yet.",
        label="Queues",
    )


def _runs(visit: Visit, now: _Now) -> Html:
    def made(row: Any) -> Html:
        sums = (row.result or {}).get("by_currency", {})
        parts = [money(visit, one["amount"], currency) for currency, one in sums.items()]
        return join(*(join(part, " ") for part in parts))

    return table(
        [
            Column("Run", lambda r: link(f"{r.id}", f"/m/{r.merchant}/runs/{r.id}"), "id"),
            Column("Merchant", lambda r: r.merchant),
            Column("Name", lambda r: r.name),
            Column("State", lambda r: chip(r.state)),
            Column("Pays", made, "num"),
            Column("As of", lambda r: when(visit, r.as_of)),
        ],
        now.runs,
        empty="No runs yet. Open a merchant's payout runs to preview one.",
        label="Newest payout runs",
    )
