"""Webhook endpoints: add one, change what it is told of, replace its secret, remove it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nicegui import ui

from domain.errors import Invalid
from domain.webhooks import rules, service
from web.dashboard.actions import webhooks as actions
from web.dashboard.actions.registry import Handed
from web.dashboard.components.form import Field, Form
from web.dashboard.components.live import (
    Question,
    Refresh,
    act,
    allowed,
    answered,
    ask,
    asking,
    button,
    done,
    head,
    put,
)
from web.dashboard.components.markup import join, tag
from web.dashboard.components.once import shown_once
from web.dashboard.components.show import facts, link
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit, whole

ADDRESS: Final = Field("url", "Address", hint="https://…, public; it stays", required=True)
ABOUT: Final = Field("description", "What it is for", hint="Shown here; it is sent to nobody")
TOLD: Final = (
    Field(rules.EVERYTHING, "Everything, new types too", "flag"),
    *(Field(name, name, "flag") for name in rules.TYPES),
)
_APPROVERS: Final = "Approvers add endpoints: they decide whither what happens is told."


def install(pages: Pages) -> None:
    """Add the pages."""
    pages.add("/m/{merchant}/webhook-endpoint", "New webhook endpoint", _draw_new)
    pages.add("/m/{merchant}/webhook-endpoint/{endpoint}", "Webhook endpoint", _draw_change)


async def _draw_new(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    await visit.read(lambda _tx: None)
    back = f"/m/{merchant.key}/webhooks"
    head(join(link("Webhooks", back), " / New endpoint"))
    if not allowed(visit, "webhook.add"):
        put(tag("p", _APPROVERS, class_="sheet"))
        return
    about, told = Form((ADDRESS, ABOUT)), Form(TOLD)
    _drawn(about, told, {})

    async def add() -> None:
        said = _read(about, told)
        if said is None:
            return
        question = Question(
            "Add this endpoint?",
            (
                join("What happens from now on is sent to ", tag("code", said["url"]), "."),
                _named(said["types"]),
            ),
            confirm="Add it",
        )
        if await ask(question) is None:
            return
        client = ui.context.client
        made = await done(visit, "webhook.add", invalid=about.refuse, merchant=merchant, **said)
        with client:
            _tell(made, lambda: _leave(back))

    with ui.element("div").classes("row"):
        button("Add the endpoint…", add, "go")


async def _draw_change(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    endpoint_id = whole(shown.params["endpoint"]) or 0
    row = await visit.read(lambda tx: service.get(tx, merchant.id, endpoint_id))
    back = f"/m/{merchant.key}/webhooks"
    head(join(link("Webhooks", back), f" / Endpoint {row.id}"))
    put(tag("section", facts(("Address", tag("code", row.url))), class_="sheet"))
    if not allowed(visit, "webhook.change"):
        put(tag("p", _APPROVERS, class_="sheet"))
        return
    about, told = Form((ABOUT,)), Form(TOLD)
    _drawn(about, told, {"description": row.description} | dict.fromkeys(row.types, True))

    async def change() -> None:
        said = _read(about, told)
        if said is None:
            return
        ids = {"merchant_id": merchant.id, "endpoint_id": row.id}
        await act(visit, "webhook.change", lambda: _leave(back), **ids, **said)

    with ui.element("div").classes("row"):
        button("Save", change, "go")


def _drawn(about: Form, told: Form, values: Mapping[str, Any]) -> None:
    with ui.element("section").classes("sheet stack"):
        about.draw(values)
        ui.html(tag("h2", "Told of"), sanitize=False)
        told.draw(values)
        each = facts(*((name, one.about) for name, one in rules.TYPES.items()))
        ui.html(tag("details", tag("summary", "What each tells"), each), sanitize=False)


def _read(about: Form, told: Form) -> dict[str, Any] | None:
    """What the forms say, as actions take it; None if a field is wrong, which is said there."""
    try:
        said = about.read()
    except Invalid as error:
        about.refuse(error)
        return None
    types = [name for name, on in told.read().items() if on]
    everything = rules.EVERYTHING in types
    return said | {
        "description": said["description"] or "",
        "types": [rules.EVERYTHING] if everything else types,
    }


def _named(types: list[str]) -> str:
    return "It is told of " + ("everything." if types == [rules.EVERYTHING] else ", ".join(types))


async def _leave(to: str) -> None:
    ui.navigate.to(to)


def _tell(made: Any, then: Refresh) -> None:
    """Show the secret that an action handed over, if it did."""
    if not (isinstance(made, Handed) and isinstance(made.thing, actions.Signing)):
        return
    shown_once(
        f"The secret of endpoint {made.thing.endpoint_id}",
        "Give it to the receiver, which knows by it that what comes is from here. It is not shown again.",
        made.thing.secret,
        then,
    )


def endpoint_steps(visit: Visit, key: str, merchant_id: int, row: Any, refresh: Refresh) -> None:
    """Buttons to change an endpoint, replace its secret and remove it, for whom may."""
    if not allowed(visit, "webhook.change"):
        return
    ids: dict[str, Any] = {"merchant_id": merchant_id, "endpoint_id": row.id}
    change = link(
        f"Change endpoint {row.id}", f"/m/{key}/webhook-endpoint/{row.id}", class_="link-button"
    )
    ui.html(change, sanitize=False)

    async def roll() -> None:
        client = ui.context.client
        answer = await answered(
            Question(
                f"Replace the secret of endpoint {row.id}?",
                (
                    "Everything is signed by the new one from now on, and by the old one too for as long"
                    " as you say, so that nothing is refused until the receiver has it.",
                ),
                entry=f"Hours that the old one signs too (0 to {rules.MAX_ROLL_HOURS})",
                confirm="Replace it",
                kind="danger",
            )
        )
        if answer is None:
            return
        made = await done(visit, "webhook.roll", **ids, hours=answer[1])
        with client:
            _tell(made, refresh)

    button(f"New secret for endpoint {row.id}…", roll)
    remove = Question(
        f"Remove endpoint {row.id}?",
        (
            join("For good: nothing more is sent to ", tag("code", row.url), "."),
            f"What waits for it is canceled: {row.pending:,}. Its log stays for 30 days.",
        ),
        confirm="Remove it",
        kind="danger",
    )
    button(f"Remove endpoint {row.id}…", asking(visit, "webhook.remove", remove, refresh, **ids))
