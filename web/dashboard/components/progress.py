"""A bar for what takes many transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nicegui import ui


@contextmanager
def counted(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar; what is yielded is told, from any thread, how many are done."""
    done = 0

    def tell(number: int) -> None:
        nonlocal done
        done = number

    def look() -> None:
        bar.value = done / max(total, 1)
        label.text = f"{done:,} of {total:,}"

    with (
        ui.context.client,
        ui.dialog(value=True).props("persistent") as dialog,
        ui.card().classes("ask"),
    ):
        ui.label("Working; you may close this page, it goes on.")
        bar = ui.linear_progress(value=0, show_value=False).props('aria-label="Progress"')
        label = ui.label(f"0 of {total:,}")
        timer = ui.timer(0.3, look)
    try:
        yield tell
    finally:
        timer.cancel()
        dialog.delete()
