"""Secrets that are shown to whoever made them, and not again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from web.dashboard.components.live import button
from web.dashboard.components.markup import tag
from web.dashboard.components.show import copied


def shown_once(
    title: str, says: str, secret: str, then: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Show a secret until it is closed, which no stray click does; then it leaves the page, and ``then`` is done."""
    with ui.dialog(value=True) as dialog, ui.card().classes("ask").props('role="document"'):
        dialog.props("persistent")
        dialog.props["aria-label"] = title
        ui.html(tag("h2", title), sanitize=False)
        ui.html(tag("p", says), sanitize=False)
        ui.html(copied(secret), sanitize=False)

        async def close() -> None:
            client = ui.context.client
            dialog.delete()
            if then is not None:
                with client:
                    await then()

        with ui.element("div").classes("row"):
            button("Close", close)
