"""What runs when: the next and the last fire, how late, how long, and by hand."""

from __future__ import annotations

import json
from typing import Any, Final

from nicegui import ui

from domain import clock
from domain.db import Tx
from domain.retention import store as retention_store
from domain.retention.rules import PRUNED_BY_ITS_OWN
from domain.schedules import guarding, store
from web.dashboard.components.live import Live, Question, allowed, asking, button, head, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import (
    chip,
    duration,
    duration_text,
    facts,
    link,
    number,
    sheet,
    some,
    when,
)
from web.dashboard.components.table import Column, table
from web.dashboard.pages.cron import in_words
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

FIRES = 30


def install(pages: Pages) -> None:
    """Add the pages."""
    pages.add("/schedules", "Schedules", _draw)
    pages.add("/schedules/{name:path}", "Schedule", _draw_one)


def _load(tx: Tx) -> tuple[list[Any], Any, Any, Any, list[Any]]:
    return (
        store.listing(tx),
        guarding.present_hold(tx),
        clock.business_now(tx),
        clock.real_now(tx),
        retention_store.marks(tx),
    )


async def _draw(shown: Shown) -> None:
    visit = shown.visit

    async def load() -> list[Any]:
        rows, hold, business, real, kept = await visit.read(_load)
        # To the minute, so that a page on which nothing fires is not drawn anew for the clock's sake.
        return [
            rows,
            hold,
            business.replace(second=0, microsecond=0),
            real.replace(second=0, microsecond=0),
            kept,
        ]

    head("Schedules")
    await live(visit, load, lambda data: _show(visit, data))


def _timing(row: Any) -> Any:
    if row.cron:
        return tag("span", in_words(row.cron), f" · {row.zone}", title=row.cron)
    return f"every {duration_text(row.every_seconds)}"


def _show(visit: Visit, data: list[Any]) -> None:
    rows, hold, business, real, kept = data
    if hold is not None:
        put(tag("p", hold.sentence, class_="wrong", role="alert"))

    def late(row: Any) -> Any:
        now = business if row.cron else real
        behind = (now - row.next_fire_at).total_seconds()
        if row.paused_at is not None or behind <= 60:
            return ""
        return tag("span", duration(behind), class_="chip warn")

    put(
        sheet(
            table(
                [
                    Column("Schedule", lambda r: link(r.name, f"/schedules/{r.name}")),
                    Column("Runs", _timing),
                    Column("Next", lambda r: when(visit, r.next_fire_at)),
                    Column("Late", late, "num"),
                    Column("Last", lambda r: when(visit, r.last_fire_at)),
                    Column("Took", lambda r: duration(r.last_duration), "num"),
                    Column(
                        "State", lambda r: chip("paused") if r.paused_at else chip(r.last_state)
                    ),
                ],
                rows,
                empty="No schedules yet. Start the scheduler, which registers its own: payspool scheduler",
                label="Schedules",
            ),
            flush=True,
        )
    )
    put(sheet(_retention(visit, kept), title="How long what was said is kept", flush=True))


WHAT: Final = {
    "events": "what applied events say (keys, hashes and outcomes stay)",
    "dead_letters": "messages, arguments and traces of letters that were decided on",
}


def _retention(visit: Visit, kept: list[Any]) -> Html:
    def days(row: Any) -> str:
        if row.ran_at is None:
            return "not looked at yet"
        return f"{row.days} days" if row.days else "for ever"

    def archive(row: Any) -> str:
        if not row.files:
            return "archived before they go" if row.archived else "none"
        files = some(row.files, "file")
        return f"{files}, {row.archive_bytes:,} bytes"

    shown = table(
        [
            Column("Of", lambda r: WHAT[r.subject]),
            Column("Kept", days),
            Column("Pruned", lambda r: number(visit, r.pruned), "num"),
            Column("Archive", archive),
            Column("Looked at", lambda r: when(visit, r.ran_at)),
        ],
        kept,
        empty="",
        label="Retention",
    )
    others = [tag("li", tag("code", name), f": {at}") for name, at in PRUNED_BY_ITS_OWN.items()]
    stays = (
        "Money, attempts, points, audit and every key by which something is known stay for ever."
    )
    note = tag(
        "div",
        tag("p", stays, class_="dim"),
        tag("details", tag("summary", "Rows that go by themselves"), tag("ul", *others)),
        class_="note",
    )
    return join(shown, note)


async def _draw_one(shown: Shown) -> None:
    visit, name = shown.visit, shown.params["name"]
    parts: list[Live] = []

    async def load() -> tuple[Any, list[Any]]:
        return await visit.read(lambda tx: (store.find(tx, name), store.fires(tx, name, FIRES)))

    async def refresh() -> None:
        await parts[0].again()

    head(join(link("Schedules", "/schedules"), " / ", name))
    parts.append(await live(visit, load, lambda data: _show_one(visit, name, data, refresh)))


def _show_one(visit: Visit, name: str, data: tuple[Any, list[Any]], refresh: Any) -> None:
    row, fires = data
    if row is None:
        put(tag("p", f"There is no schedule {name!r}.", class_="sheet"))
        return
    with ui.element("div").classes("row"):
        if allowed(visit, "schedule.run_now"):
            question = Question(
                f"Fire {name} now?",
                ("It runs as of now, beside its own times.", f"It does: {row.actor} {row.args}"),
                confirm="Run now",
            )
            button(
                "Run now…", asking(visit, "schedule.run_now", question, refresh, name=name), "go"
            )
        if row.paused_at is None and allowed(visit, "schedule.pause"):
            question = Question(
                f"Pause {name}?",
                ("It does not fire until it is resumed.",),
                reason="Why",
                confirm="Pause it",
                kind="danger",
            )
            button("Pause…", asking(visit, "schedule.pause", question, refresh, name=name))
        if row.paused_at is not None and allowed(visit, "schedule.resume"):
            question = Question(
                f"Resume {name}?",
                (
                    f"Paused by {row.paused_by}: {row.pause_reason}",
                    "What it missed is caught up by its policy: " + row.catch_up + ".",
                ),
                confirm="Resume it",
            )
            button("Resume…", asking(visit, "schedule.resume", question, refresh, name=name), "go")
    if row.paused_at is not None:
        put(
            tag(
                "p",
                f"Paused by {row.paused_by} ",
                when(visit, row.paused_at),
                f": {row.pause_reason}",
                class_="wrong",
            )
        )
    put(sheet(_facts(visit, row)))
    put(sheet(_fires(visit, fires), title=f"Newest fires (at most {FIRES})", flush=True))


def _json(value: Any) -> Html:
    return tag("code", json.dumps(value, ensure_ascii=False))


def _facts(visit: Visit, row: Any) -> Html:
    return facts(
        ("Runs", _timing(row)),
        ("Next", when(visit, row.next_fire_at)),
        ("Does", tag("code", row.actor)),
        ("With", _json(row.args)),
        ("On the queue", row.queue),
        ("Catches up", row.catch_up),
    )


def took(fire: Any) -> Any:
    """How long a fire took; nothing before it is over."""
    done = fire.started_at is not None and fire.finished_at is not None
    return duration(fire.finished_at - fire.started_at) if done else ""


def _fires(visit: Visit, fires: list[Any]) -> Html:
    return table(
        [
            Column("As of", lambda r: when(visit, r.fire_at)),
            Column("State", lambda r: chip(r.state)),
            Column("By hand", lambda r: "yes" if r.manual else ""),
            Column("Took", took, "num"),
            Column("Did", lambda r: _json(r.progress) if r.progress else ""),
            Column(
                "Error",
                lambda r: (
                    tag("details", tag("summary", "show"), tag("pre", r.error, tabindex="0"))
                    if r.error
                    else ""
                ),
            ),
        ],
        fires,
        empty="It has not fired yet.",
        label="Fires",
    )
