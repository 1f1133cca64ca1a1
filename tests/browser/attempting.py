"""``python -m tests.browser.attempting dashboard …``: the dashboard with one page more, a button for each action.

What a button does is what a click on any page does: the message comes over the page's websocket, and the
action is performed for whom the page belongs to. It says what came of it.
"""

from __future__ import annotations

from anyio import to_thread
from nicegui import ui

from domain.errors import DomainError
from payspool.cli import app
from queues.errors import QueuesError
from tests.browser.attempts import ATTEMPTS
from web.dashboard import app as dashboard
from web.dashboard.actions import NotAllowed, perform
from web.dashboard.components.live import head
from web.dashboard.pages import PAGES
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import SignedOut, Visit

PATH = "/attempts"


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add(PATH, "Attempts", _draw)


async def _draw(shown: Shown) -> None:
    head("Attempts")
    for name in ATTEMPTS:
        _attempt(shown.visit, name)


def _attempt(visit: Visit, name: str) -> None:
    said = ui.label().props(f'data-said="{name}"')

    async def click() -> None:
        try:
            done = await to_thread.run_sync(lambda: perform(visit, name, **ATTEMPTS[name][1]))
        except SignedOut:
            said.text = "signed out"
        except NotAllowed as error:
            said.text = f"not allowed: {error}"
        except (DomainError, QueuesError) as error:
            said.text = f"looked at: {error}"
        else:
            said.text = f"looked at: {done}"

    ui.button(name, on_click=click).props(f'data-attempt="{name}"')


if __name__ == "__main__":
    dashboard.PAGES = (*PAGES, install)  # type: ignore[misc, attr-defined]
    app()
