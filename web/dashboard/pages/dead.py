"""Messages that their queue gave up on: search, and decide on one, the selected, or all that match."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from nicegui import ui

from domain.db import Tx
from domain.dead_letters import store
from domain.dead_letters.store import STATES, Filter, Found
from domain.inbox import listing
from web.dashboard.components.live import (
    Live,
    Question,
    act,
    allowed,
    ask,
    button,
    head,
    live,
    put,
    read,
)
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.progress import counted
from web.dashboard.components.show import chip, link, number_text, sheet, when
from web.dashboard.components.table import ROWS, Column, choice, entry, filters, further, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

COUNTED_TO: Final = 10_000
ALL: Final = 2**31


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/dead", "Dead letters", _draw)


def wanted(query: dict[str, str]) -> tuple[Filter, str | None]:
    """The filter and the state that a page's address means."""
    state = query.get("state") or "open"
    found = Filter(
        query.get("queue") or None, query.get("actor") or None, query.get("text") or None
    )
    return found, None if state == "all" else state if state in STATES else "open"


async def _draw(shown: Shown) -> None:
    visit = shown.visit
    tabs = join(
        link("Dead letters", "/dead", class_="link-button"),
        link("Unreadable messages", "/dead?tab=unreadable", class_="link-button"),
    )
    if visit.query.get("tab") == "unreadable":
        head("Unreadable messages", "no identity that could be read, or no merchant that is known")
        put(tag("div", tabs, class_="row"))
        await _unreadable(visit)
        return
    head("Dead letters", "messages that their queue gave up on")
    put(tag("div", tabs, class_="row"))
    put(
        filters(
            visit,
            choice(visit, "state", "State", [*STATES, "all"], every=None),
            choice(visit, "queue", "Queue", list(visit.context.queues)),
            entry(visit, "actor", "Actor", "payouts.send"),
            entry(visit, "text", "In arguments or reason"),
            export=visit.with_query(before=None).replace("/dead", "/export/dead.csv", 1),
        )
    )
    parts: list[Live] = []
    chosen: set[int] = set()
    before = visit.number("before")
    found, state = wanted(visit.query)

    def load(tx: Tx) -> Found:
        return store.look(tx, found, state=state, before=before, limit=ROWS, count_to=COUNTED_TO)

    parts.append(
        await live(
            visit,
            lambda: visit.read(load),
            lambda data: _show(visit, found, state, data, chosen, parts),
        )
    )


def _show(
    visit: Visit,
    found: Filter,
    state: str | None,
    data: Found,
    chosen: set[int],
    parts: list[Live],
) -> None:
    rows = data.rows
    chosen.intersection_update(row.id for row in rows)

    async def refresh() -> None:
        chosen.clear()
        await parts[0].again()

    decides = state == "open" and rows and allowed(visit, "dead.retry")
    if decides:
        _selected(visit, chosen, refresh)
        if data.open > 1 or not data.counted:
            _all(visit, found, data, refresh)
    with ui.element("section").classes("sheet flush"):
        if not rows:
            ui.html(tag("p", _none(found, state, data), class_="empty"), sanitize=False)
            ui.html(_older(visit, data), sanitize=False)
            return
        if decides:
            _choose(visit, rows, chosen)
        else:
            ui.html(table(_columns(visit), rows, empty="", label="Dead letters"), sanitize=False)
        ui.html(join(further(visit, rows, lambda r: r.id), _older(visit, data)), sanitize=False)


def _none(found: Filter, state: str | None, data: Found) -> str:
    if data.below is not None:
        return f"None of the {store.LOOKED_THROUGH:,} that were looked through has this text."
    if found == Filter() and state == "open":
        return "No dead letter is open: nothing was given up."
    what = "No dead letter is open that matches" if state == "open" else "None matches"
    return f"{what}. Take a filter out, or look at another state."


def _older(visit: Visit, data: Found) -> Html:
    """Where a search of a text goes on: it is no index that finds it, so it ends after a while."""
    if data.below is None:
        return Html("")
    said = f"{store.LOOKED_THROUGH:,} letters were looked through for the text, the newest first."
    on = link("Search older ones", visit.with_query(before=data.below))
    return tag("p", f"{said} ", on, class_="empty")


def _columns(visit: Visit) -> list[Column]:
    return [
        Column("Letter", lambda r: link(r.id, f"/dead/{r.id}"), "id"),
        Column("Queue", lambda r: r.queue),
        Column("Actor", lambda r: tag("code", r.actor or "?")),
        Column("Reason", lambda r: r.reason[:200]),
        Column("Attempts", lambda r: r.attempts, "num"),
        Column("Died", lambda r: when(visit, r.died_at)),
        Column("State", lambda r: join(chip(r.state), f" {r.decided_by}" if r.decided_by else "")),
    ]


def _choose(visit: Visit, rows: list[Any], chosen: set[int]) -> None:
    """The table with a box in front of each row. One element for all of them: a box of its own for each would
    take the server longer to draw than the letters take to be read."""
    shown = {row.id for row in rows}

    def switch(event: Any) -> None:
        letter_id, on = event.args
        if letter_id in shown:
            (chosen.add if on else chosen.discard)(letter_id)

    columns = [Column("Choose", lambda r: _box(r.id, chosen)), *_columns(visit)]
    made = ui.html(table(columns, rows, empty="", label="Dead letters"), sanitize=False)
    made.on(
        "change",
        switch,
        js_handler="(e) => emit(Number(e.target.dataset.letter), e.target.checked)",
    )


def _box(letter_id: int, chosen: set[int]) -> Html:
    return tag(
        "input",
        type="checkbox",
        class_="choose",
        data_letter=letter_id,
        checked=letter_id in chosen,
        aria_label=f"Choose letter {letter_id}",
    )


def _selected(visit: Visit, chosen: set[int], refresh: Any) -> None:
    def named() -> str:
        return ", ".join(str(one) for one in sorted(chosen)[:20]) + (
            " …" if len(chosen) > 20 else ""
        )

    async def decide(name: str, verb: str, kind: str) -> None:
        if not chosen:
            ui.notify("Choose letters first.", type="warning", position="top")
            return
        ids = sorted(chosen)
        said = "run again, as they were" if verb == "Retry" else "never run; what they say is kept"
        question = Question(
            f"{verb} {len(ids)} dead letter{'' if len(ids) == 1 else 's'}?",
            (f"Letters {named()}. They {said}.",),
            reason="Why" if verb == "Discard" else None,
            optional="Why (optional)" if verb == "Retry" else None,
            confirm=f"{verb} {len(ids)}",
            kind=kind,
        )
        answer = await ask(question)
        if answer is not None:
            await act(visit, name, refresh, ids=ids, reason=answer)

    with ui.element("div").classes("row"):
        button("Retry chosen…", lambda: decide("dead.retry", "Retry", "go"), "go")
        button("Discard chosen…", lambda: decide("dead.discard", "Discard", "danger"))


def _all(visit: Visit, found: Filter, data: Found, refresh: Any) -> None:
    count = number_text(visit, data.open) + ("" if data.counted else "+")
    said = [
        f"{name} {value!r}"
        for name, value in (("queue", found.queue), ("actor", found.actor), ("text", found.text))
        if value
    ]
    reach = "of every queue" if not said else "of " + ", ".join(said)

    async def decide(name: str, verb: str, kind: str) -> None:
        # Who asks for it is told all of them; the page, which is drawn every few seconds, counts so far only.
        counts = await read(visit, lambda tx: store.count_matching(tx, found, ALL))
        if counts is None:
            return
        total, newest = counts
        said = number_text(visit, total)
        question = Question(
            f"{verb} all {said} that match?",
            (
                f"Every open letter {reach} that is dead now, {said} of them.",
                "Those that somebody decides on meanwhile are left alone and told. What is stopped half-way"
                " is done so far: ask for all again, and the rest follows.",
            ),
            reason="Why",
            confirm=f"{verb} all {said}",
            kind=kind,
        )
        answer = await ask(question)
        if answer is None:
            return
        with counted(total) as progress:
            await act(
                visit,
                name,
                refresh,
                wanted=replace(found),
                upto=newest,
                reason=answer,
                progress=progress,
            )

    with ui.element("div").classes("row"):
        button(
            f"Retry all {count} that match…", lambda: decide("dead.retry_all", "Retry", "danger")
        )
        button(
            f"Discard all {count} that match…",
            lambda: decide("dead.discard_all", "Discard", "danger"),
        )


async def _unreadable(visit: Visit) -> None:
    before = visit.number("before")
    rows = await visit.read(lambda tx: listing.unreadable(tx, before=before, limit=ROWS))
    put(
        sheet(
            table(
                [
                    Column("Received", lambda r: when(visit, r.received_at)),
                    Column("Reason", lambda r: chip(r.reason)),
                    Column("Detail", lambda r: r.detail),
                    Column("Message", lambda r: tag("code", r.message_id)),
                    Column("Begins", lambda r: _begins(r.begins)),
                ],
                rows,
                empty="Every message could be read. What cannot is kept here, with its reason.",
                label="Unreadable messages",
            ),
            further(visit, rows, lambda r: r.id),
            flush=True,
        )
    )


def _begins(text: str) -> Html:
    return tag("details", tag("summary", "show"), tag("pre", text, tabindex="0"))
