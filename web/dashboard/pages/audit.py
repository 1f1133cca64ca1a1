"""Who did what, when, before and after."""

from __future__ import annotations

from typing import Any

from domain.audit import store
from domain.db import Tx
from domain.merchants import service as merchants
from web.dashboard.components.live import head, put
from web.dashboard.components.markup import Html, tag
from web.dashboard.components.show import sheet, source, when
from web.dashboard.components.table import ROWS, Column, entry, filters, further, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/audit", "Audit", _draw)


def rows_of(tx: Tx, query: dict[str, str], limit: int, before: int | None) -> list[Any]:
    """The entries that the page's filters mean."""
    key = query.get("merchant")
    kind, _, name = query.get("subject", "").partition(":")
    return store.page(
        tx,
        merchant_id=merchants.get(tx, key).id if key else None,
        subject=(kind.strip(), name.strip()) if name else None,
        actor=query.get("actor") or None,
        action=query.get("action") or None,
        before=before,
        limit=limit,
    )


async def _draw(shown: Shown) -> None:
    visit = shown.visit
    before = visit.number("before")
    rows = await visit.read(lambda tx: rows_of(tx, visit.query, ROWS, before))
    head("Audit", "who did what, when, before and after")
    put(
        filters(
            visit,
            entry(visit, "actor", "By", "ada"),
            entry(visit, "action", "Action begins", "payout."),
            entry(visit, "subject", "Subject", "payout:7"),
            entry(visit, "merchant", "Merchant", "acme"),
            export=visit.with_query().replace("/audit", "/export/audit.csv", 1),
        )
    )
    put(
        sheet(
            audit_table(visit, rows, "Nothing was done that matches. Take a filter out."),
            further(visit, rows, lambda r: r.id),
            flush=True,
        )
    )


def audit_table(visit: Visit, rows: list[Any], empty: str = "Nobody did anything to it.") -> Html:
    """Entries as a table."""
    return table(
        [
            Column("When", lambda r: when(visit, r.created_at)),
            Column("Who", lambda r: tag("span", r.actor_id, title=r.actor_kind)),
            Column("Action", lambda r: tag("code", r.action)),
            Column("Subject", lambda r: f"{r.subject_kind} {r.subject_id}"),
            Column("Merchant", lambda r: r.merchant),
            Column("Reason", lambda r: r.reason),
            Column("Changed", _changed),
        ],
        rows,
        empty=empty,
        label="Audit entries",
    )


def _changed(row: Any) -> Html:
    if row.before is None and row.after is None:
        return Html("")
    said = {"before": row.before, "after": row.after}
    shown = {name: value for name, value in said.items() if value is not None}
    return tag("details", tag("summary", "show"), source(shown))
