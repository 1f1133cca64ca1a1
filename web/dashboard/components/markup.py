"""HTML made of parts: whatever is not `Html` already is escaped, so that no name or text is ever markup.

>>> str(tag("a", "<b>", href="/m/acme?a=1&b=2"))
'<a href="/m/acme?a=1&amp;b=2">&lt;b&gt;</a>'
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

_VOID: Final = frozenset(
    {"input", "br", "img", "meta", "link", "hr", "rect", "line", "path", "circle"}
)


class Html(str):
    """Text that is HTML already. Made by `tag` and `join`, or from a constant of ours."""

    __slots__ = ()


def html(value: Any) -> Html:
    """``value`` as HTML: escaped, unless it is `Html`; None is nothing."""
    if isinstance(value, Html):
        return value
    return Html("" if value is None else escape(str(value)))


def join(*parts: Any) -> Html:
    """Parts one after the other."""
    return Html("".join(html(part) for part in parts))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element. ``class_`` is the attribute class, ``data_x`` is data-x; None and False leave one out."""
    said = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{join(*children)}</{name}>")


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def page(title: str, body: Html) -> str:
    """A whole document outside of NiceGUI."""
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="stylesheet", href="/assets/dashboard.css"),
        tag("script", src="/assets/door.js"),
    )
    return f'<!doctype html><html lang="en"><head>{head}</head>{tag("body", body, class_="plain")}</html>'
