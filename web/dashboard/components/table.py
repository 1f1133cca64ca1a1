"""Tables: rows as HTML, the same data as CSV, and the links to further pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from web.dashboard.components.markup import Html, html, tag
from web.dashboard.visit import Visit

_MARKS: Final = re.compile("<[^>]*>")

ROWS: int = 50
"""Rows of a page."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and what it shows of a row."""

    title: str
    cell: Callable[[Any], Any]
    kind: str = ""


def table(columns: Sequence[Column], rows: Sequence[Any], *, empty: str, label: str) -> Html:
    """Rows as a table, which becomes one block a row on a narrow screen; without rows, what to do.

    The titles sort what is shown (static/tables.js).
    """
    if not rows:
        return tag("p", empty, class_="empty")
    head = tag(
        "tr",
        *(
            tag("th", c.title, class_=c.kind or None, scope="col", tabindex=0 if c.title else None)
            for c in columns
        ),
    )
    body = [
        tag(
            "tr",
            *(_cell(c, row) for c in columns),
        )
        for row in rows
    ]
    return tag("table", tag("thead", head), tag("tbody", *body), class_="rows", aria_label=label)


def _cell(column: Column, row: Any) -> Html:
    shown = html(column.cell(row))
    # One element inside: on a narrow screen it stands beside its label. An empty cell is left out there.
    inside = tag("div", shown) if _MARKS.sub("", shown).strip() or "<input" in shown else Html("")
    return tag("td", inside, class_=column.kind or None, data_label=column.title)


def further(
    visit: Visit, rows: Sequence[Any], key: Callable[[Any], Any], *, name: str = "before"
) -> Html:
    """The links to the first and the next page, by the key of the last row. ``rows`` is one page."""
    links = []
    if name in visit.query:
        links.append(tag("a", "First page", href=visit.with_query(**{name: None})))
    if len(rows) >= ROWS:
        links.append(tag("a", "Next page", href=visit.with_query(**{name: key(rows[-1])})))
    return tag("nav", *links, class_="pages", aria_label="Pages") if links else Html("")


def filters(visit: Visit, *fields: Html, export: str | None = None) -> Html:
    """A form whose fields become the page's address, so that it can be sent to a colleague."""
    extra = (
        tag("a", "Export CSV", href=export, class_="link-button", download=True)
        if export
        else Html("")
    )
    button = tag("button", "Filter", type="submit", class_="plain-button")
    return tag("form", *fields, button, extra, method="get", action=visit.path, class_="filters")


def choice(
    visit: Visit, name: str, title: str, options: Sequence[str], *, every: str | None = "all"
) -> Html:
    """A filter with a few values."""
    now = visit.query.get(name, "")
    shown = ([("", every)] if every is not None else []) + [
        (one, one.replace("_", " ")) for one in options
    ]
    made = [tag("option", said, value=value, selected=value == now) for value, said in shown]
    return tag("label", title, tag("select", *made, name=name))


def entry(visit: Visit, name: str, title: str, hint: str = "") -> Html:
    """A filter that is written."""
    value = visit.query.get(name, "")
    field = tag(
        "input",
        type="text",
        name=name,
        value=value or None,
        placeholder=hint or None,
        maxlength=255,
    )
    return tag("label", title, field)
