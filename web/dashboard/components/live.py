"""Parts of a page that keep up to date, and buttons that do something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import structlog
from anyio import to_thread
from dramatiq.errors import ConnectionClosed
from nicegui import Client, ui
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from domain.db import Tx
from domain.errors import DomainError, Invalid
from queues.errors import QueuesError
from web.dashboard.actions import perform
from web.dashboard.actions.registry import ACTIONS, REASON_CHARACTERS_MAX, Answer
from web.dashboard.components.markup import Html, tag
from web.dashboard.shell import LIVE_SECONDS, safely
from web.dashboard.visit import SignedOut, Visit

log = structlog.get_logger(__name__)

T = TypeVar("T")
Refresh = Callable[[], Awaitable[None]]

_BUSY: Final = (
    "document.getElementById('%s')?.contains(document.activeElement)"
    " || document.querySelector('.q-dialog') !== null"
)


@dataclass
class Live:
    """A part that is loaded and drawn, again every few seconds or when something was done in it.

    What did not change is not drawn again: a selection, and what a reader has marked, stay.
    """

    visit: Visit
    load: Callable[[], Awaitable[Any]]
    draw: Callable[[Any], None]
    box: Any = None
    last: Any = None
    on: bool = True

    async def refresh(self) -> None:
        """Load and draw; what cannot be read is told in the place of what was shown."""

        async def once() -> None:
            # Also where no SQL is asked: is who looks at it still allowed in?
            await self.visit.read(lambda _tx: None)
            data = await self.load()
            if self.last is not None and repr(data) == self.last:
                return
            self.last = repr(data)
            self.box.clear()
            with self.box:
                self.draw(data)

        with self.box:
            if not await safely(once, self.box):
                self.last = None

    async def tick(self) -> None:
        """The timer's turn: not while somebody writes or chooses in this part, or is asked something."""
        if not self.on:
            return
        try:
            busy = await ui.run_javascript(_BUSY % self.box.html_id, timeout=2.0)
        except TimeoutError:
            return  # the browser is gone, or sleeps
        if not busy:
            await self.refresh()

    async def again(self) -> None:
        """Draw whatever was loaded, also if it is the same."""
        self.last = None
        await self.refresh()


async def live(
    visit: Visit,
    load: Callable[[], Awaitable[T]],
    draw: Callable[[T], None],
    *,
    seconds: float | None = LIVE_SECONDS,
) -> Live:
    """Show what ``draw`` makes of ``load`` now, and every ``seconds`` (None: only when told to)."""
    part = Live(visit, load, draw, box=ui.element("div").classes("stack"))
    if seconds is not None:
        _switched(part)
    await part.refresh()
    if seconds is not None:
        ui.timer(seconds, part.tick, immediate=False)
    return part


@dataclass
class _Switch:
    """Of one browser's page: what keeps up to date on it, and the box of its head."""

    box: Any
    parts: list[Live]


_SWITCHES: Final[WeakKeyDictionary[Client, _Switch]] = WeakKeyDictionary()


def _switched(part: Live) -> None:
    """Put the page's switch into its head with the first part; it stops and goes on with all of them."""
    page = _SWITCHES.get(ui.context.client)
    if page is None:
        return
    page.parts.append(part)
    if len(page.parts) > 1:
        return

    def switch() -> None:
        on = not page.parts[0].on
        for one in page.parts:
            one.on = on
        shown.text = "Live: pause" if on else "Paused: go on"

    with page.box:
        shown = ui.button("Live: pause", on_click=switch, color=None)
        shown.props("unelevated no-caps").classes("act calm")


def later(draw: Callable[[], Awaitable[None]], meanwhile: str) -> None:
    """Draw what sums more rows than a page may wait for once the page is there; until then, say so."""
    box = ui.element("div").classes("stack")
    with box:
        put(tag("p", meanwhile, class_="sheet dim"))

    async def drawn() -> None:
        async def replaced() -> None:
            box.clear()
            await draw()

        with box:
            await safely(replaced, box)

    ui.timer(0.05, drawn, once=True)


def put(content: Html) -> None:
    """Show HTML."""
    ui.html(content, sanitize=False).classes("stack")


def head(title: Any, *facts: Any) -> Any:
    """The title of a page; buttons are put into what is returned."""
    with ui.element("div").classes("head"):
        ui.html(tag("h1", title), sanitize=False)
        for fact in facts:
            ui.html(tag("span", fact, class_="dim"), sanitize=False)
        more = ui.element("div").classes("more")
    _SWITCHES[ui.context.client] = _Switch(more, [])
    return more


def allowed(visit: Visit, name: str) -> bool:
    """Whether to show an action; that it may be done is checked when it is."""
    return visit.user.may(ACTIONS[name].role)


def button(
    text: str, on_click: Callable[[], Awaitable[None]], kind: str = "calm", label: str = ""
) -> Any:
    """A button. ``kind``: calm, go or danger; ``label`` names what it is about to who cannot see that.

    While what a click began is under way, further clicks are none: who clicks twice asks once.
    """
    under_way = False

    async def once() -> None:
        nonlocal under_way
        if under_way:
            return
        under_way = True
        try:
            await on_click()
        finally:
            under_way = False

    made = (
        ui.button(text, on_click=once, color=None)
        .props("unelevated no-caps")
        .classes(f"act {kind}")
    )
    if label:
        made.props["aria-label"] = label
    return made


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before something is done: a title, sentences that name what it touches."""

    title: str
    says: tuple[Any, ...] = ()
    reason: str | None = None
    optional: str | None = None
    entry: str | None = None
    optional_entry: str | None = None
    confirm: str = "Do it"
    kind: str = "go"


async def ask(question: Question) -> str | None:
    """The reason that was given (empty if none was asked for), or None if somebody thought better of it."""
    answer = await answered(question)
    return None if answer is None else answer[0]


async def answered(question: Question) -> tuple[str, str] | None:
    """The reason and what was entered, each empty if it was not asked for; None for one who thought better of it."""
    with (
        ui.context.client,
        ui.dialog() as dialog,
        ui.card().classes("ask").props('role="document"'),
    ):
        dialog.props["aria-label"] = question.title
        ui.html(tag("h2", question.title), sanitize=False)
        for sentence in question.says:
            ui.html(tag("p", sentence), sanitize=False)
        wanted = question.reason or question.optional
        entry = field = None
        if question.entry or question.optional_entry:
            entry = ui.input(question.entry or question.optional_entry).props(
                "outlined dense maxlength=255"
            )
        if wanted:
            field = (
                ui.textarea(wanted)
                .props(f"outlined dense autogrow maxlength={REASON_CHARACTERS_MAX} autofocus")
                .classes("reason")
            )
        warning = ui.label("Say why first.").classes("wrong")
        warning.visible = False

        def confirm() -> None:
            said = (field.value or "").strip() if field is not None else ""
            entered = (entry.value or "").strip() if entry is not None else ""
            if (question.reason and not said) or (question.entry and not entered):
                warning.text = "Say why first." if entry is None else "Fill in both first."
                warning.visible = True
                return
            dialog.submit((said, entered))

        with ui.element("div").classes("row"):
            ui.button(question.confirm, on_click=confirm, color=None).props(
                "unelevated no-caps"
            ).classes(f"act {question.kind}")
            ui.button("Leave it", on_click=lambda: dialog.submit(None), color=None).props(
                "unelevated no-caps"
            ).classes("act calm")
    answer = await dialog
    if not dialog.is_deleted:  # a browser that is gone took it along
        dialog.delete()
    return answer if isinstance(answer, tuple) else None


async def act(visit: Visit, name: str, refresh: Refresh | None = None, /, **arguments: Any) -> bool:
    """Do something and tell what was done, and draw again; or tell why not. Whether it was done."""
    client = ui.context.client
    said = await done(visit, name, **arguments)
    if said is None:
        return False
    with client:
        tell(said if isinstance(said, str) else said.said, well=True)
    if refresh is not None:
        await refresh()
    return True


async def read(visit: Visit, work: Callable[[Tx], T]) -> T | None:
    """What a click has to know before it asks; None if that cannot be read now, which is told."""
    client = ui.context.client
    try:
        return await visit.read(work)
    except SignedOut:
        with client:
            ui.navigate.to("/sign-in")
    except DBAPIError:
        with client:
            tell("The database cannot say this now. Nothing was done; try again later.", well=False)
    return None


async def done(
    visit: Visit,
    name: str,
    /,
    *,
    invalid: Callable[[Invalid], bool] = lambda _: False,
    **arguments: Any,
) -> Answer | None:
    """Do something: what was done, for the caller to tell; or tell why not, and None.

    ``invalid`` shows a field that is refused where it is, if it can.
    """
    client = ui.context.client
    try:
        # Not among the readers: one that goes through thousands must not keep pages from being read.
        return await to_thread.run_sync(lambda: perform(visit, name, **arguments))
    except SignedOut:
        with client:
            ui.navigate.to("/sign-in")
        return None
    except (DomainError, QueuesError) as error:
        if isinstance(error, Invalid):
            with client:
                if invalid(error):
                    return None
        said = str(error).removeprefix("--")  # a page has fields where a command has options
    except (DBAPIError, ConnectionClosed, RedisError) as error:
        log.warning("dashboard.unanswered", action=name, error=str(error)[:200])
        said = "A server did not answer: look whether it was done before you do it again."
    except Exception:
        log.exception("dashboard.failed", action=name)
        said = "A bug stopped it; the dashboard's log says where. Look whether it was done."
    with client:
        tell(said, well=False)
    return None


def tell(said: str, *, well: bool) -> None:
    """Show a sentence over the page; what went wrong stays until it is closed."""
    ui.notify(
        said,
        type="positive" if well else "negative",
        position="top",
        timeout=6000 if well else 0,
        close_button="Close",
        multi_line=True,
    )


def asking(
    visit: Visit,
    name: str,
    question: Question,
    refresh: Refresh | None = None,
    /,
    said: str = "reason",
    entered: str = "entry",
    **arguments: Any,
) -> Callable[[], Awaitable[None]]:
    """A click handler that asks, then does ``name``; a reason is passed on as the argument ``said``, and
    what was entered beside it as ``entered``."""

    async def click() -> None:
        answer = await answered(question)
        if answer is None:
            return
        more = {said: answer[0]} if question.reason or question.optional else {}
        if question.entry or question.optional_entry:
            more[entered] = answer[1]
        await act(visit, name, refresh, **arguments, **more)

    return click
