"""What was too fast at a till, with the evidence; released or rejected by a person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from nicegui import ui

from domain.db import Tx
from domain.loyalty.service import velocity_desk as desk
from web.dashboard.components.live import Live, Question, allowed, asking, button, head, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import (
    card_page,
    chip,
    facts,
    link,
    number_text,
    sheet,
    when,
)
from web.dashboard.components.table import Column, choice, filters, further, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

OPEN_ROWS = 50
"""Open cases of a page, each with its buttons (as table.ROWS, by which the pages are counted)."""


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/velocity", "Velocity cases", _draw)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    closed = visit.query.get("state") == "ended"
    before = visit.number("before")
    parts: list[Live] = []

    def load(tx: Tx) -> list[Any]:
        return desk.cases(tx, merchant.id, closed=closed, before=before, limit=OPEN_ROWS)

    async def refresh() -> None:
        await parts[0].again()

    head("Velocity cases")
    put(filters(visit, choice(visit, "state", "State", ["ended"], every="open")))

    def show(rows: list[Any]) -> None:
        if closed or not rows:
            put(sheet(_ended(visit, merchant.key, rows, closed=closed), flush=True))
        else:
            for row in rows:
                _open(visit, merchant.key, merchant.id, row, refresh)
        put(further(visit, rows, lambda r: r.id))

    parts.append(await live(visit, lambda: visit.read(load), show))


def evidence(visit: Visit, row: Any) -> Html:
    """What was found, a sentence for each limit that was broken."""
    return join(*(tag("p", _sentence(visit, one)) for one in row.evidence))


def _sentence(visit: Visit, found: Any) -> Html:
    measure = "count" if "count" in found else "points"
    unit = "acts" if measure == "count" else "points"
    return join(
        f"{number_text(visit, found['reached'])} {unit} of the {found['per']} in {found['minutes']} minutes from ",
        when(visit, datetime.fromisoformat(found["from"])),
        f"; the limit is {number_text(visit, found[measure])}.",
    )


def _open(visit: Visit, key: str, merchant_id: int, row: Any, refresh: Any) -> None:
    title = join(f"Case {row.id} ", chip("held" if row.action == "hold" else "flagged"))
    with ui.element("section").classes("sheet stack"):
        ui.html(join(tag("h2", title), _facts(visit, key, row)), sanitize=False)
        if not allowed(visit, "velocity.release"):
            return
        with ui.element("div").classes("row"):
            ids: dict[str, Any] = {"merchant_id": merchant_id, "case_id": row.id}
            release, reject = _questions(visit, row)
            button(f"Release {row.id}…", asking(visit, "velocity.release", release, refresh, **ids))
            button(f"Reject {row.id}…", asking(visit, "velocity.reject", reject, refresh, **ids))


def _questions(visit: Visit, row: Any) -> tuple[Question, Question]:
    about = f"{_what(row)} on card {row.card}: {_at_stake(visit, row)}."
    if row.action == "hold":
        released = "It is booked now, unless a rule refuses it: its card was closed, for instance."
        rejected = "It is never booked. This is final."
    else:
        released = "It was booked, and stays so."
        rejected = "It was booked, and is undone by an event of its own. This is final."
    release = Question(
        f"Release case {row.id}?",
        (about, released),
        reason="Why it is all right",
        confirm="Release",
        kind="danger",
    )
    reject = Question(
        f"Reject case {row.id}?",
        (about, rejected),
        reason="Why it is not",
        confirm="Reject",
        kind="danger",
    )
    return release, reject


def _what(row: Any) -> str:
    said: str = row.type.removeprefix("loyalty.").replace("_", " ")
    return said.capitalize()


def _at_stake(visit: Visit, row: Any) -> str:
    return f"{number_text(visit, row.points)} points" if row.points else "stamps"


def _facts(visit: Visit, key: str, row: Any) -> Html:
    return facts(
        ("Evidence", evidence(visit, row)),
        ("What", f"{_what(row)}, {_at_stake(visit, row)}"),
        ("Card", join(link(row.card, card_page(key, row.card)), f" of {row.program}")),
        ("Store", row.store),
        ("Staff PIN", row.pin),
        ("Device", row.device),
        ("Address", row.address and tag("code", row.address)),
        (
            "Event",
            join(link(row.event_id, f"/m/{key}/events/{row.inbox_id}"), f" of {row.source}"),
        ),
        ("Happened", when(visit, row.occurred_at)),
        ("Found", when(visit, row.found_at)),
    )


def _ended(visit: Visit, key: str, rows: list[Any], *, closed: bool) -> Html:
    return table(
        [
            Column("Case", lambda r: r.id, "id"),
            Column("Was", lambda r: "held" if r.action == "hold" else "flagged"),
            Column("Card", lambda r: link(r.card, card_page(key, r.card))),
            Column("What", _what),
            Column("Points", lambda r: number_text(visit, r.points), "num"),
            Column("Evidence", lambda r: evidence(visit, r)),
            Column("Outcome", lambda r: chip(r.outcome)),
            Column("By", lambda r: r.closed_by),
            Column("Why", lambda r: r.close_reason),
            Column("Ended", lambda r: when(visit, r.closed_at)),
            Column("Event", lambda r: link(r.status, f"/m/{key}/events/{r.inbox_id}")),
        ],
        rows,
        empty="No case has ended yet."
        if closed
        else "Nothing was too fast. What is comes here, held or flagged: payspool loyalty velocity policy says"
        " what is looked at.",
        label="Velocity cases",
    )
