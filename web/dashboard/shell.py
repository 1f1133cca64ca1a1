"""The frame of every page: navigation, the kill switch, the search box, and how a page is drawn and kept
up to date."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from anyio import CapacityLimiter
from dramatiq.errors import ConnectionClosed
from fastapi import Request
from nicegui import ui
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from domain import clock
from domain.db import Tx
from domain.dead_letters import store as dead_store
from domain.errors import DomainError, NotFound
from domain.merchants import service as merchants
from domain.merchants import store as merchant_store
from domain.merchants.service import Merchant
from domain.payouts.store import stops
from queues.pause import Pause, Pauses
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import link, when
from web.dashboard.context import DashboardContext
from web.dashboard.visit import SignedOut, Visit, visit_of

COUNTED_TO: Final = 1_000
"""How far what needs a person is counted; beyond, the page says "1000+"."""
LIVE_SECONDS: Final = 5.0
CANCELED: Final = "57014"
"""SQLSTATE query_canceled: a statement that took too long."""

Params = Mapping[str, str]
Draw = Callable[["Shown"], Awaitable[None]]

# (path, title, what it counts, or "admin" for whom alone it is)
_INSTALLATION: Final = (
    ("", "Overview", ""),
    ("charts", "Charts", ""),
    ("queues", "Queues and workers", ""),
    ("dead", "Dead letters", "dead"),
    ("schedules", "Schedules", ""),
    ("audit", "Audit", ""),
    ("users", "Users", "admin"),
)
_OF_MERCHANT: Final = (
    ("events", "Events", ""),
    ("runs", "Payout runs", ""),
    ("payouts", "Payouts", ""),
    ("payees", "Payees", ""),
    ("bank", "Bank", ""),
    ("referrals", "Referrals", ""),
    ("holds", "Holds", ""),
    ("loyalty", "Loyalty", ""),
    ("velocity", "Velocity cases", ""),
    ("ledger", "Ledger", ""),
    ("webhooks", "Webhooks", ""),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page shows around itself."""

    merchants: list[Any]
    merchant: Merchant | None
    stops: list[Any]
    pauses: dict[str, Pause]
    dead: int
    simulated: Any


@dataclass(frozen=True, slots=True)
class Shown:
    """A page as it is drawn: for whom, about which merchant, with which parts of its address."""

    visit: Visit
    params: Params
    found: Merchant | None

    @property
    def merchant(self) -> Merchant:
        """The merchant of the address."""
        assert self.found is not None, "the page's address names a merchant"
        return self.found


class Pages:
    """Registers pages, each drawn inside the frame."""

    def __init__(self, context: DashboardContext, limiter: CapacityLimiter) -> None:
        self._context = context
        self._limiter = limiter

    def add(self, path: str, title: str, draw: Draw) -> None:
        """Show ``draw`` at ``path``; with ``{merchant}`` in it, the page is a merchant's."""

        async def built(request: Request) -> None:
            visit = visit_of(request, self._context, self._limiter)
            params = {k: str(v).replace("\0", "") for k, v in request.path_params.items()}
            await _around(visit, params, draw)

        ui.page(path, title=f"{title} – Payspool", response_timeout=20.0)(built)


async def _around(visit: Visit, params: Params, draw: Draw) -> None:
    ui.add_head_html('<link rel="stylesheet" href="/assets/dashboard.css">')
    ui.add_head_html('<script src="/assets/tables.js" defer></script>')
    ui.dark_mode({"dark": True, "light": False}.get(visit.dark))
    key = params.get("merchant")
    problem: str | None = None
    try:
        frame = await visit.read(lambda tx: _frame(tx, key))
    except SignedOut:
        ui.navigate.to("/sign-in")
        return
    except NotFound as error:
        problem = str(error)
        frame = await visit.read(lambda tx: _frame(tx, None))
    except DBAPIError:
        _message("The database does not answer now. This page tries again when you reload it.")
        return
    with suppress(ConnectionClosed, RedisError):  # the page says so itself where it needs them
        frame = await visit.look(lambda: _with_pauses(visit, frame))
    with ui.element("div").classes("frame"):
        _side(visit, frame)
        with ui.element("div").classes("main"):
            ui.html(_bands(visit, frame), sanitize=False)
            _bar(visit)
            with ui.element("div").classes("content").props('id="content"'):
                if problem is not None:
                    _message(problem)
                    return
                await safely(lambda: draw(Shown(visit, params, frame.merchant)))


async def safely(draw: Callable[[], Awaitable[None]], box: Any = None) -> bool:
    """Draw; or say why that cannot be done now, in ``box`` in the place of what it held. Whether it was drawn.

    A page that fails tells so and takes no other with it.
    """
    try:
        await draw()
        return True
    except SignedOut:
        ui.navigate.to("/sign-in")
        return False
    except DomainError as error:
        said = str(error)
    except (ConnectionClosed, RedisError):
        said = "Valkey does not answer now, so what is on the queues cannot be told."
    except DBAPIError as error:
        slow = getattr(error.orig, "sqlstate", None) == CANCELED
        said = "This takes longer than a page may wait. Narrow the filter, or try again later."
        said = said if slow else "The database cannot say this now. Try again later."
    if box is not None:
        box.clear()
    _message(said)
    return False


def _message(said: str) -> None:
    ui.html(tag("p", said, class_="sheet", role="alert"), sanitize=False)


def _frame(tx: Tx, key: str | None) -> Frame:
    found = merchants.get(tx, key) if key else None
    return Frame(
        merchant_store.listing(tx),
        found,
        stops.listed(tx),
        {},
        sum(dead_store.open_counts(tx, COUNTED_TO).values()),
        clock.simulated_at(tx),
    )


def _with_pauses(visit: Visit, frame: Frame) -> Frame:
    pauses = Pauses(visit.context.redis, visit.context.namespace).all()
    return Frame(frame.merchants, frame.merchant, frame.stops, pauses, frame.dead, frame.simulated)


def _side(visit: Visit, frame: Frame) -> None:
    def item(address: str, text: str, tally: int = 0) -> Html:
        here = visit.path == address or (address != "/" and visit.path.startswith(address + "/"))
        count = (
            tag("span", "1000+" if tally >= COUNTED_TO else tally, class_="tally")
            if tally
            else Html("")
        )
        return tag(
            "a", tag("span", text), count, href=address, aria_current="page" if here else None
        )

    parts = [
        item(f"/{path}", text, frame.dead if tally == "dead" else 0)
        for path, text, tally in _INSTALLATION
        if tally != "admin" or visit.user.may("admin")
    ]
    current = frame.merchant
    for row in frame.merchants:
        name = row.name if row.mode == "live" else f"{row.name} (test)"
        if current is not None and row.key == current.key:
            parts.append(tag("div", name, class_="group"))
            parts += [item(f"/m/{row.key}/{path}", text) for path, text, _ in _OF_MERCHANT]
    others = [row for row in frame.merchants if current is None or row.key != current.key]
    if others:
        parts.append(tag("div", "Other merchants" if current else "Merchants", class_="group"))
        parts += [item(f"/m/{row.key}/payouts", row.name) for row in others[:50]]
    nav = tag("nav", tag("a", "Payspool", href="/", class_="brand"), *parts, aria_label="Pages")
    opener = tag(
        "button",
        "☰ Payspool",
        type="button",
        class_="opener",
        aria_expanded="false",
        onclick="this.setAttribute('aria-expanded', this.parentElement.classList.toggle('opened'))",
    )
    ui.html(join(opener, nav), sanitize=False, tag="aside").classes("side")


def _bands(visit: Visit, frame: Frame) -> Html:
    parts = []
    for stop in frame.stops:
        reach = f"{stop.merchant or 'all merchants'}, {stop.method or 'any method'}"
        parts.append(
            tag(
                "div",
                tag("span", f"Sending is stopped ({reach}): {stop.reason}"),
                tag("span", f"by {stop.stopped_by} ", when(visit, stop.created_at)),
                link("Kill switch", "/stops"),
                class_="band stop",
                role="status",
            )
        )
    if frame.merchant is not None and frame.merchant.mode == "test":
        parts.append(tag("div", "TEST – no real money moves for this merchant", class_="band test"))
    for pause in frame.pauses.values():
        parts.append(
            tag(
                "div",
                tag("span", f"Queue {pause.queue} is paused: {pause.reason}"),
                tag("span", f"by {pause.by} ", when(visit, pause.at)),
                link("Queues", "/queues"),
                class_="band pause",
            )
        )
    if frame.simulated is not None:
        said = f"Business time is simulated: {frame.simulated:%Y-%m-%d %H:%M} UTC"
        parts.append(tag("div", said, class_="band pause"))
    return join(*parts)


def _bar(visit: Visit) -> None:
    box = tag(
        "input",
        type="search",
        name="q",
        placeholder="Any id: event, user, card, code, payout, tr_…",
        aria_label="Search by any id",
        maxlength=255,
        required=True,
    )
    go = tag("button", "Find", type="submit", class_="plain-button")
    search = tag("form", box, go, method="get", action="/search", role="search")
    out = tag(
        "form",
        tag("button", "Sign out", type="submit", class_="plain-button"),
        method="post",
        action="/sign-out",
    )
    dark = tag(
        "button",
        "◐",
        type="button",
        class_="plain-button",
        aria_label="Dark or light",
        onclick=_TOGGLE,
    )
    stop = link("Kill switch", "/stops")
    who = tag(
        "div",
        stop,
        tag("span", f"{visit.user.name} · {visit.user.role}", class_="dim"),
        dark,
        out,
        class_="who",
    )
    ui.html(join(search, who), sanitize=False, tag="header").classes("bar")


_TOGGLE: Final = (
    "const d=!document.body.classList.contains('body--dark');"
    "document.cookie='payspool_dark='+(d?'dark':'light')+';path=/;max-age=31536000;samesite=lax';"
    "location.reload()"
)
