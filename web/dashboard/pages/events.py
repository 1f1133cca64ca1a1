"""A merchant's events: find one, and work off those that did not apply."""

from __future__ import annotations

from typing import Any, Final

from nicegui import ui

from domain.db import Tx
from domain.inbox import listing
from domain.inbox import service as inbox
from domain.inbox.service import Selection
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
from web.dashboard.components.markup import tag
from web.dashboard.components.progress import counted
from web.dashboard.components.show import chip, link, number_text, sheet, when
from web.dashboard.components.table import ROWS, Column, choice, entry, filters, further, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

RETRIED: Final = ("rejected", "dead")
COUNTED_TO: Final = 10_000
"""How far a page that is drawn every few seconds counts what could be retried; who asks for it is told all."""


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/events", "Events", _draw)


def rows_of(
    tx: Tx, merchant_id: int, query: dict[str, str], limit: int, before: int | None
) -> list[Any]:
    """The events that the page's filters mean."""
    wanted = query.get("id")
    if wanted:
        return [
            dict(row._mapping) | {"reason": None, "detail": None, "received_at": None}
            for row in listing.named(tx, wanted, merchant_id=merchant_id, limit=limit)
        ]
    status = query.get("status")
    if status in listing.ATTENTION:
        return listing.page(
            tx,
            merchant_id,
            status,
            reason=query.get("reason") or None,
            type_=query.get("type") or None,
            before=before,
            limit=limit,
        )
    return listing.newest(tx, merchant_id, before=before, limit=limit)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    before = visit.number("before")
    parts: list[Live] = []
    status = visit.query.get("status")
    base = f"/m/{merchant.key}"
    head("Events")
    put(
        filters(
            visit,
            entry(visit, "id", "Event id"),
            choice(visit, "status", "State", list(listing.ATTENTION), every="newest of all"),
            entry(visit, "reason", "Reason code", "unknown_code"),
            entry(visit, "type", "Type", "loyalty.points_earned"),
            export=visit.with_query(before=None)
            .replace(base, f"/export/{merchant.key}", 1)
            .replace("/events", "/events.csv", 1),
        )
    )

    def load(tx: Tx) -> tuple[list[Any], tuple[int, int] | None]:
        rows = rows_of(tx, merchant.id, visit.query, ROWS, before)
        counts = None
        if status in RETRIED and rows:
            counts = inbox.count_selected(tx, _selection(merchant.id, visit), COUNTED_TO)
        return rows, counts

    parts.append(
        await live(
            visit,
            lambda: visit.read(load),
            lambda data: _show(visit, merchant.key, merchant.id, data, parts),
        )
    )


def _selection(merchant_id: int, visit: Visit) -> Selection:
    return Selection(
        merchant_id,
        visit.query.get("reason") or None,
        visit.query.get("status"),
        type=visit.query.get("type") or None,
    )


def _show(
    visit: Visit,
    key: str,
    merchant_id: int,
    data: tuple[list[Any], tuple[int, int] | None],
    parts: list[Live],
) -> None:
    rows, counts = data

    async def refresh() -> None:
        await parts[0].again()

    if counts is not None and counts[0] and allowed(visit, "event.retry_all"):
        _retry_all(visit, merchant_id, counts, refresh)
    put(
        sheet(
            table(
                [
                    Column(
                        "Number",
                        lambda r: link(r["inbox_id"], f"/m/{key}/events/{r['inbox_id']}"),
                        "id",
                    ),
                    Column("Id", lambda r: tag("code", r["id"])),
                    Column("Source", lambda r: r["source"]),
                    Column("Type", lambda r: tag("code", r["type"] or "?")),
                    Column("State", lambda r: chip(r["status"])),
                    Column("Why", lambda r: tag("span", r["reason"] or "", title=r["detail"])),
                    Column("Received", lambda r: when(visit, r["received_at"])),
                ],
                rows,
                empty=_empty(visit),
                label="Events",
            ),
            further(visit, rows, lambda r: r["inbox_id"]),
            flush=True,
        )
    )


def _empty(visit: Visit) -> str:
    if visit.query.get("id"):
        return "No event of this id ever arrived for this merchant."
    if visit.query.get("status"):
        return (
            "None: every event of this kind was dealt with. Reason and type narrow what is listed."
        )
    return "No event arrived lately. Publish one: payspool events publish, or POST /v1/events."


def _retry_all(visit: Visit, merchant_id: int, counts: tuple[int, int], refresh: Any) -> None:
    so_far = number_text(visit, counts[0]) + ("+" if counts[0] >= COUNTED_TO else "")
    selection = _selection(merchant_id, visit)

    async def click() -> None:
        counts = await read(visit, lambda tx: inbox.count_selected(tx, selection))
        if counts is None:
            return
        total, left = counts
        said = number_text(visit, total)
        kept = f"{left:,} whose refusal was a decision are left out; filter by their reason to retry them."
        answer = await ask(
            Question(
                f"Retry all {said} that match?",
                ("They are applied again with the content that they have.", kept if left else ""),
                optional="Why (optional)",
                confirm=f"Retry all {said}",
            )
        )
        if answer is None:
            return
        with counted(total) as progress:
            await act(
                visit,
                "event.retry_all",
                refresh,
                selection=selection,
                reason=answer,
                progress=progress,
            )

    with ui.element("div").classes("row"):
        button(f"Retry all {so_far} that match…", click, "go")
