"""People who use the dashboard, for admins."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from domain.access import users
from domain.access.roles import ROLES
from domain.errors import Forbidden
from web.dashboard.components.live import (
    Live,
    Question,
    act,
    allowed,
    ask,
    asking,
    button,
    done,
    head,
    live,
    put,
)
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.once import shown_once
from web.dashboard.components.show import chip, link, sheet, when
from web.dashboard.components.table import Column, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/users", "Users", _draw)


async def _draw(shown: Shown) -> None:
    visit = shown.visit
    parts: list[Live] = []
    if not allowed(visit, "user.add"):
        raise Forbidden("People are looked after by admins; you are " + visit.user.role + ".")

    async def refresh() -> None:
        await parts[0].again()

    head("Users", link("what they did", "/audit"))
    _form(visit, refresh)
    parts.append(
        await live(
            visit, lambda: visit.read(users.listing), lambda rows: _show(visit, rows, refresh)
        )
    )


def _form(visit: Visit, refresh: Any) -> None:
    with ui.element("section").classes("sheet"), ui.element("div").classes("row"):
        name = ui.input("Name, as ada or ada@example.com").props("outlined dense").classes("wide")
        role = ui.select(list(ROLES), value=ROLES[0], label="Role").props("outlined dense")

        async def add() -> None:
            wanted = (name.value or "").strip().lower()
            if await act(visit, "user.add", refresh, name=wanted, role=str(role.value)):
                name.value = ""

        button("Add", add, "go")


def _show(visit: Visit, rows: list[Any], refresh: Any) -> None:
    put(sheet(_table(visit, rows), flush=True))
    for row in rows:
        with ui.element("div").classes("row"):
            ui.html(tag("b", row.name), sanitize=False)
            _buttons(visit, row, refresh)


def _table(visit: Visit, rows: list[Any]) -> Html:
    def state(row: Any) -> Html:
        if row.disabled_at is not None:
            return join(
                tag("span", "disabled", class_="chip bad"), " ", when(visit, row.disabled_at)
            )
        if row.locked_until is not None:
            return join(
                tag("span", "locked", class_="chip warn"), " until ", when(visit, row.locked_until)
            )
        return chip("active")

    return table(
        [
            Column("Name", lambda r: link(r.name, f"/audit?{urlencode({'actor': r.name})}")),
            Column("Role", lambda r: r.role),
            Column("State", state),
            Column("Signs in by", lambda r: "password or link" if r.password else "link"),
            Column("Open sessions", lambda r: r.sessions, "num"),
            Column("Last signed in", lambda r: when(visit, r.signed_in_at)),
            Column("Added", lambda r: when(visit, r.created_at)),
        ],
        rows,
        empty="Nobody yet.",
        label="Users",
    )


def _buttons(visit: Visit, row: Any, refresh: Any) -> None:
    if row.disabled_at is not None:
        enable = Question(f"Let {row.name} in again?", (f"As {row.role}.",), confirm="Let them in")
        button(
            "Enable…",
            asking(visit, "user.enable", enable, refresh, name=row.name),
            label=f"Enable {row.name}",
        )
        return
    button("Sign-in link…", _linking(visit, row.name), label=f"Sign-in link for {row.name}")
    if row.name == visit.user.name:
        return
    for role in ROLES:
        if role != row.role:
            change = Question(
                f"Make {row.name} {role}?",
                (f"They are {row.role}. It holds from their next click on.",),
                confirm=f"Make them {role}",
                kind="danger",
            )
            button(
                f"Make {role}…",
                asking(visit, "user.role", change, refresh, name=row.name, role=role),
                label=f"Make {row.name} {role}",
            )
    disable = Question(
        f"Keep {row.name} out?",
        (f"{row.sessions} open sessions end at once, and so do their links.",),
        confirm="Disable",
        kind="danger",
    )
    button(
        "Disable…",
        asking(visit, "user.disable", disable, refresh, name=row.name),
        label=f"Disable {row.name}",
    )


def _linking(visit: Visit, name: str) -> Any:
    """A click handler that makes a link and shows it, once."""

    async def click() -> None:
        client = ui.context.client
        question = Question(
            f"Make a sign-in link for {name}?",
            (
                "Whoever has it is let in as them, once, within 15 minutes: hand it over in private."
                " That you made it is in the audit trail.",
            ),
            confirm="Make it",
        )
        if await ask(question) is None:
            return
        path = await done(visit, "user.link", name=name)
        if not isinstance(path, str):
            return
        with client:
            base = visit.context.access.url or str(client.request.base_url)
            shown_once(
                f"{name} signs in by this, once",
                "Hand it over in private. It is not shown again.",
                base.rstrip("/") + path,
            )

    return click
