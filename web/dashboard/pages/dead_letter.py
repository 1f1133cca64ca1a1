"""One dead letter: what it says, why it died, and what to do with it."""

from __future__ import annotations

import json
from typing import Any

from nicegui import ui

from domain.audit import store as audit_store
from domain.db import Tx
from domain.dead_letters import store
from domain.errors import NotFound
from web.dashboard.components.live import Live, Question, allowed, asking, button, head, live, put
from web.dashboard.components.markup import join, tag
from web.dashboard.components.show import chip, facts, link, number, sheet, source, when
from web.dashboard.pages.audit import audit_table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit, whole


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/dead/{letter}", "Dead letter", _draw)


async def _draw(shown: Shown) -> None:
    visit, wanted = shown.visit, shown.params["letter"]
    letter_id = whole(wanted) or 0
    parts: list[Live] = []

    def load(tx: Tx) -> tuple[Any, list[Any]]:
        row = store.find(tx, letter_id)
        if row is None:
            raise NotFound("dead letter", wanted, "It is not among those that were kept.")
        entries = audit_store.page(
            tx,
            merchant_id=None,
            subject=("dead_letter", str(letter_id)),
            actor=None,
            action=None,
            before=None,
            limit=20,
        )
        return row, entries

    async def refresh() -> None:
        await parts[0].again()

    head(join(link("Dead letters", "/dead"), f" / {wanted}"))
    parts.append(
        await live(visit, lambda: visit.read(load), lambda data: _show(visit, data, refresh))
    )


def _show(visit: Visit, data: tuple[Any, list[Any]], refresh: Any) -> None:
    row, entries = data
    if row.state == "open" and allowed(visit, "dead.retry"):
        with ui.element("div").classes("row"):
            retry = Question(
                f"Retry letter {row.id}?",
                (f"The message of {row.actor} goes back on the queue {row.queue}, as it was.",),
                optional="Why (optional)",
                confirm="Retry",
            )
            button("Retry…", asking(visit, "dead.retry", retry, refresh, ids=[row.id]), "go")
            discard = Question(
                f"Discard letter {row.id}?",
                (f"The message of {row.actor} never runs. What it says stays here.",),
                reason="Why",
                confirm="Discard",
                kind="danger",
            )
            button("Discard…", asking(visit, "dead.discard", discard, refresh, ids=[row.id]))
    decided = join(
        chip(row.state),
        f" by {row.decided_by} " if row.decided_by else "",
        when(visit, row.decided_at),
    )
    put(
        sheet(
            facts(
                ("State", decided),
                ("Reason", tag("b", row.reason)),
                ("Actor", tag("code", row.actor or "unknown")),
                ("Queue", row.queue),
                ("Attempts", number(visit, row.attempts)),
                ("Workers lost with it", number(visit, row.deaths) if row.deaths else None),
                ("Died", when(visit, row.died_at)),
                ("Redis id", tag("code", row.redis_message_id)),
                (
                    "Size",
                    f"{row.raw_bytes:,} bytes"
                    + ("" if row.raw_kept or row.pruned_at else ", too large to be kept"),
                ),
                (
                    "Its message, arguments and trace",
                    row.pruned_at and join("went ", when(visit, row.pruned_at)),
                ),
                ("Retried as", row.retried_as and tag("code", row.retried_as)),
            )
        )
    )
    if row.pruned_at is None:
        put(sheet(_arguments(row.args), title="Arguments"))
    if row.trace:
        put(sheet(tag("pre", row.trace, tabindex="0"), title="Where it failed"))
    put(sheet(audit_table(visit, entries), title="What was done", flush=True))


def _arguments(args: str | None) -> Any:
    if not args:
        return tag("p", "They could not be read.", class_="dim")
    try:
        return source(json.loads(args))
    except ValueError:
        return tag("pre", args, tabindex="0")
