"""The kill switch: what keeps payouts from being sent, who said so, and lifting it."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from domain.db import Tx
from domain.merchants import store as merchant_store
from domain.payouts.service.stopping import KIND, METHODS
from domain.payouts.store import breakers, shortfalls, stops
from web.dashboard.components.live import (
    Live,
    Question,
    act,
    allowed,
    ask,
    asking,
    button,
    head,
    live,
    put,
)
from web.dashboard.components.markup import Html, tag
from web.dashboard.components.show import chip, money, number, sheet, when
from web.dashboard.components.table import Column, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

EVERY = "all"


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/stops", "Kill switch", _draw)


async def _draw(shown: Shown) -> None:
    visit = shown.visit
    parts: list[Live] = []

    async def refresh() -> None:
        ui.navigate.reload()  # the red line is above every page

    head("Kill switch")
    keys = await visit.read(lambda tx: [row.key for row in merchant_store.listing(tx)])
    if allowed(visit, "payouts.stop"):
        _stopper(visit, keys, refresh)
    parts.append(
        await live(visit, lambda: visit.read(_load), lambda data: _show(visit, data, refresh))
    )


def _load(tx: Tx) -> tuple[list[Any], list[Any], list[Any]]:
    return stops.listed(tx), breakers.listed(tx), shortfalls.listed(tx)


def _stopper(visit: Visit, keys: list[str], refresh: Any) -> None:
    with ui.element("section").classes("sheet"):
        put(
            tag(
                "p",
                "Stopping holds for what is not on its way yet: no payout is sent until an approver"
                " lifts it. Events, points and earnings go on.",
            )
        )
        with ui.element("div").classes("row"):
            merchant = ui.select(
                {EVERY: "all merchants", **{k: k for k in keys}}, value=EVERY, label="Merchant"
            ).props("outlined dense options-dense")
            method = ui.select(
                {EVERY: "any method", **{m: m for m in METHODS}}, value=EVERY, label="Method"
            ).props("outlined dense options-dense")

            async def stop() -> None:
                of = None if merchant.value == EVERY else str(merchant.value)
                by = None if method.value == EVERY else str(method.value)
                answer = await ask(
                    Question(
                        "Stop sending?",
                        (
                            f"Payouts of {of or 'all merchants'} by {by or 'any method'} are not sent from"
                            " now on. What is on its way already is not called back.",
                        ),
                        reason="Why (shown in red on every page)",
                        confirm="Stop sending",
                        kind="danger",
                    )
                )
                if answer is not None:
                    await act(visit, "payouts.stop", refresh, merchant=of, method=by, reason=answer)

            button("Stop sending…", stop, "danger")


def _show(visit: Visit, data: tuple[list[Any], list[Any], list[Any]], refresh: Any) -> None:
    found, open_breakers, short = data
    put(sheet(_stops(visit, found), title="In force", flush=True))
    for row in found:
        if row.kind != KIND or not allowed(visit, "payouts.resume"):
            continue
        reach = f"{row.merchant or 'all merchants'}, {row.method or 'any method'}"
        question = Question(
            f"Lift the stop of {reach}?",
            (f"{row.stopped_by} stopped it: {row.reason}", "What waited for it is sent at once."),
            confirm="Send again",
            kind="danger",
        )
        with ui.element("div").classes("row"):
            button(
                f"Lift the stop of {reach}…",
                asking(
                    visit,
                    "payouts.resume",
                    question,
                    refresh,
                    merchant=row.merchant,
                    method=row.method,
                ),
                "go",
            )
    if open_breakers:
        put(sheet(_breakers(visit, open_breakers), title="Gateways that do not answer", flush=True))
    if short:
        put(sheet(_short(visit, short), title="Balances too small at a gateway", flush=True))


def _stops(visit: Visit, rows: list[Any]) -> Html:
    return table(
        [
            Column("Kind", lambda r: chip(r.kind)),
            Column("Merchant", lambda r: r.merchant or "all"),
            Column("Method", lambda r: r.method or "any"),
            Column("Reason", lambda r: r.reason),
            Column("By", lambda r: r.stopped_by),
            Column("Since", lambda r: when(visit, r.created_at)),
        ],
        rows,
        empty="Nothing is stopped: what is approved is sent.",
        label="Stops in force",
    )


def _breakers(visit: Visit, rows: list[Any]) -> Html:
    first = rows[0]._mapping
    return table(
        [
            Column(name.replace("_", " "), lambda r, n=name: _any(visit, r._mapping[n]))  # type: ignore[misc]
            for name in first
        ],
        rows,
        empty="",
        label="Open breakers",
    )


def _short(visit: Visit, rows: list[Any]) -> Html:
    first = rows[0]._mapping

    def cell(row: Any, name: str) -> Any:
        value = row._mapping[name]
        if name in ("amount", "available", "smallest") and value is not None:
            return money(visit, value, row.currency)
        return _any(visit, value)

    return table(
        [Column(name.replace("_", " "), lambda r, n=name: cell(r, n)) for name in first],  # type: ignore[misc]
        rows,
        empty="",
        label="Balances too small",
    )


def _any(visit: Visit, value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return number(visit, value)
    return when(visit, value) if hasattr(value, "astimezone") else str(value)
