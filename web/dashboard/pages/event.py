"""One event: what it said, what became of it, and everything that followed, down to the gateway's transfer."""

from __future__ import annotations

import json
from typing import Any

from nicegui import ui

from domain.db import Tx
from domain.errors import NotFound
from domain.inbox import listing
from domain.inbox import service as inbox
from domain.loyalty import service as loyalty
from domain.payouts.store import looking
from domain.retention import store as retention_store
from domain.retention.rules import EVENTS
from web.dashboard.components.live import (
    Live,
    Question,
    act,
    allowed,
    asking,
    button,
    head,
    live,
    put,
)
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import (
    card_page,
    chip,
    facts,
    link,
    money,
    number_text,
    payee_page,
    sheet,
    source,
    when,
)
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit, whole

ATTEMPTS_OF = 5
"""Payouts of an event whose attempts are shown on its page."""


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/events/{number}", "Event", _draw)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    wanted = shown.params["number"]
    number = whole(wanted) or 0
    parts: list[Live] = []

    def load(tx: Tx) -> dict[str, Any]:
        row = listing.by_number(tx, merchant.id, number)
        if row is None:
            raise NotFound("event", wanted, "Find it by its id above.")
        told = inbox.status(tx, merchant.id, row.source, row.id) or {}
        payouts = {
            e["payout_id"] for e in told.get("made", {}).get("earnings", []) if e["payout_id"]
        }
        return {
            "row": row,
            "told": told,
            "archives": []
            if row.data is not None or row.raw is not None
            else retention_store.archive_of(tx, EVENTS, number),
            "points": loyalty.transactions_of(tx, number),
            "attempts": {one: looking.attempts(tx, one) for one in sorted(payouts)[:ATTEMPTS_OF]},
        }

    async def refresh() -> None:
        await parts[0].again()

    head(join(link("Events", f"/m/{merchant.key}/events"), f" / {wanted}"))
    parts.append(
        await live(
            visit, lambda: visit.read(load), lambda data: _show(visit, merchant.key, data, refresh)
        )
    )


def _show(visit: Visit, key: str, data: dict[str, Any], refresh: Any) -> None:
    row, told = data["row"], data["told"]
    if row.status in ("rejected", "dead") and allowed(visit, "event.retry"):
        _buttons(visit, row, refresh)
    put(
        sheet(
            facts(
                ("Id", tag("code", row.id)),
                ("Source", row.source),
                ("Type", tag("code", row.type or "?")),
                ("State", chip(row.status)),
                ("Why", row.reason and join(tag("code", row.reason), f" {row.detail or ''}")),
                ("Happened", when(visit, row.occurred_at)),
                ("Received", when(visit, row.received_at)),
                ("Tried", f"{row.attempts} times" if row.attempts > 1 else None),
                (
                    "Other content came under its name",
                    f"{told['conflicts']} times, refused" if told.get("conflicts") else None,
                ),
            )
        )
    )
    put(sheet(_timeline(visit, key, data), title="What followed"))
    put(sheet(_content(row, data["archives"]), title="What it says"))
    if told.get("revisions"):
        put(sheet(_revisions(visit, told["revisions"]), title="Revisions"))


def _content(row: Any, archives: list[str]) -> Html:
    if row.data is not None:
        return source(row.data)
    if row.raw is not None:
        return tag("pre", row.raw, tabindex="0")
    where = f" It may be in {', '.join(archives)}." if archives else ""
    return tag(
        "p",
        "It was not kept for longer (payspool retention show)." + where,
        " What followed, its name and the hash of what it said stay: sent again, it is known.",
        class_="dim",
    )


def _timeline(visit: Visit, key: str, data: dict[str, Any]) -> Html:
    row, made = data["row"], data["told"].get("made", {})
    steps = [
        _step(
            join("Received ", when(visit, row.received_at)), tag("span", f"from {row.source}"), ""
        ),
        _step(
            join(chip(row.status), f" {row.reason or ''}"),
            tag("span", row.detail or ""),
            "good" if row.status == "applied" else "bad",
        ),
    ]
    for one in made.get("trackings", []):
        earned = money(visit, one["amount_earned"], one["currency"])
        steps.append(
            _step(
                join(f"Tracking {one['id']}: {one['referrer_user_id']} earned ", earned),
                tag("details", tag("summary", "why this amount"), source(one["explanation"])),
                "good",
            )
        )
    for one in made.get("reversals", []):
        steps.append(
            _step(
                join(f"Reversal of tracking {one['tracking_id']}"),
                tag("span", f"{one['reversed']} minor units taken back"),
                "bad",
            )
        )
    for one in data["points"]:
        said = f"{number_text(visit, one.points)} points" if one.points else f"{one.stamps} stamps"
        card = link(f"card {one.card}", card_page(key, one.card))
        steps.append(
            _step(
                join(f"{one.type.replace('_', ' ')}: {said} on ", card),
                join(when(visit, one.transaction_at), f" · balance {one.balance}"),
                "good",
            )
        )
    for one in made.get("earnings", []):
        user = link(one["user_id"], payee_page(key, one["user_id"]))
        steps.append(
            _step(
                join(
                    f"Earning {one['id']} of ",
                    user,
                    ": ",
                    money(visit, one["amount"], one["currency"]),
                ),
                join("available ", when(visit, one["available_at"])),
                "good",
            )
        )
        if one["payout_id"]:
            steps += _payout(visit, key, one, data["attempts"].get(one["payout_id"], []))
    return tag("ol", *steps, class_="line")


def _payout(visit: Visit, key: str, earning: dict[str, Any], attempts: list[Any]) -> list[Html]:
    payout = link(f"payout {earning['payout_id']}", f"/m/{key}/payouts/{earning['payout_id']}")
    state = earning["payout_state"]
    steps = [
        _step(join("In ", payout, " ", chip(state)), Html(""), "good" if state == "paid" else "")
    ]
    for one in attempts:
        said = join(
            chip(one.state), " ", tag("code", one.external_id or ""), f" {one.error_message or ''}"
        )
        steps.append(
            _step(
                join(f"Attempt {one.n} ({one.leg}) ", when(visit, one.sent_at)),
                said,
                "good" if one.state == "succeeded" else "",
            )
        )
    return steps


def _step(title: Html, more: Html, kind: str) -> Html:
    return tag("li", tag("div", title), tag("div", more, class_="dim"), class_=kind or None)


def _revisions(visit: Visit, revisions: list[dict[str, Any]]) -> Html:
    return join(
        *(
            tag(
                "details",
                tag(
                    "summary",
                    f"Revision {one['revision']} by {one['by']} ",
                    when(visit, one["at"]),
                    f" {one['reason'] or ''}",
                ),
                source(one["data"]),
            )
            for one in revisions
        )
    )


def _buttons(visit: Visit, row: Any, refresh: Any) -> None:
    retry = Question(
        f"Retry event {row.inbox_id}?",
        ("It is applied again with the content that it has.",),
        optional="Why (optional)",
        confirm="Retry",
    )
    with ui.element("div").classes("row"):
        button("Retry…", asking(visit, "event.retry", retry, refresh, numbers=[row.inbox_id]), "go")
        button("Edit and resubmit…", lambda: _edit(visit, row, refresh))


async def _edit(visit: Visit, row: Any, refresh: Any) -> None:
    said = row.raw if row.data is None else json.dumps(row.data, indent=2, ensure_ascii=False)
    with ui.context.client, ui.dialog() as dialog, ui.card().classes("ask"):
        dialog.props["aria-label"] = f"Edit event {row.inbox_id}"
        ui.html(tag("h2", f"Edit event {row.inbox_id} and resubmit it"), sanitize=False)
        ui.html(
            tag("p", "What it says now is kept as a revision, and a replay of it is a duplicate."),
            sanitize=False,
        )
        kind = ui.input("Type", value=row.type or "").props("outlined dense")
        data = (
            ui.textarea("Data (JSON)", value=said).props("outlined dense autogrow").classes("mono")
        )
        why = ui.textarea("Why").props("outlined dense autogrow maxlength=500")

        async def submit() -> None:
            done = await act(
                visit,
                "event.edit",
                None,
                number=row.inbox_id,
                data=data.value,
                reason=why.value or "",
                type_=(kind.value or "").strip() or None,
            )
            if done:
                dialog.submit(True)

        with ui.element("div").classes("row"):
            button("Resubmit", submit, "go")
            ui.button("Leave it", on_click=lambda: dialog.submit(None), color=None).props(
                "unelevated no-caps"
            ).classes("act calm")
    if await dialog:
        await refresh()
    dialog.delete()
