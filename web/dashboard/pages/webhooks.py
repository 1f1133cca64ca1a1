"""Where a merchant's own systems are told of what happens, how that goes, and sending it again."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlencode

from nicegui import ui

from domain.db import Tx
from domain.errors import NotFound
from domain.webhooks import deliveries, delivery_store, store
from domain.webhooks.rules import TEST, TYPES
from web.dashboard.components.live import Live, Question, allowed, asking, button, head, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import chip, facts, link, number, sheet, source, when
from web.dashboard.components.table import ROWS, Column, choice, entry, filters, further, table
from web.dashboard.pages.webhook_endpoints import endpoint_steps
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit, whole

STATES: Final = ("pending", "delivered", "failed", "canceled")
_EMPTY: Final = (
    "Nobody is told of anything yet. An approver adds an endpoint above; or payspool webhooks add {} https://…,"
    " or POST /v1/webhook_endpoints."
)


def install(pages: Pages) -> None:
    """Add the pages."""
    pages.add("/m/{merchant}/webhooks", "Webhooks", _draw)
    pages.add("/m/{merchant}/webhooks/{delivery}", "Delivery", _draw_one)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    state, type_ = visit.query.get("state"), visit.query.get("type")
    parts: list[Live] = []

    def load(tx: Tx) -> tuple[list[Any], list[Any]]:
        log = delivery_store.listing(
            tx,
            merchant.id,
            endpoint_id=whole(visit.query.get("endpoint", "")),
            state=state if state in STATES else None,
            type_=type_ if type_ in (*TYPES, TEST) else None,
            before=visit.number("before"),
            limit=ROWS,
        )
        return store.listing(tx, merchant.id), log

    async def refresh() -> None:
        await parts[0].again()

    def show(data: tuple[list[Any], list[Any]]) -> None:
        endpoints, log = data
        if not endpoints:
            put(sheet(tag("p", _EMPTY.format(merchant.key), class_="empty"), flush=True))
        for row in endpoints:
            _endpoint(visit, merchant.key, merchant.id, row, refresh)
        put(sheet(_log(visit, merchant.key, log), title="Deliveries, newest first", flush=True))
        put(further(visit, log, lambda r: r.id))

    more = head("Webhooks")
    if allowed(visit, "webhook.add"):
        with more:
            new = f"/m/{merchant.key}/webhook-endpoint"
            put(link("Add an endpoint", new, class_="link-button"))
    put(
        filters(
            visit,
            choice(visit, "state", "State", STATES),
            choice(visit, "type", "Type", (*TYPES, TEST)),
            entry(visit, "endpoint", "Endpoint", "its number"),
        )
    )
    parts.append(await live(visit, lambda: visit.read(load), show))


def _endpoint(visit: Visit, key: str, merchant_id: int, row: Any, refresh: Any) -> None:
    title = join(f"Endpoint {row.id} ", chip(row.state))
    with ui.element("section").classes("sheet stack"):
        ui.html(join(tag("h2", title), _facts(visit, key, row)), sanitize=False)
        if not allowed(visit, "webhook.resend"):
            return
        ids: dict[str, Any] = {"merchant_id": merchant_id, "endpoint_id": row.id}
        with ui.element("div").classes("row"):
            if row.state == "enabled":
                _steps(visit, row, ids, refresh)
            else:
                enable = Question(
                    f"Enable endpoint {row.id}?",
                    (
                        f"It was disabled by {row.disabled_by}: {row.disabled_reason}",
                        f"What waits for it is sent at once: {row.pending:,}.",
                    ),
                    confirm="Enable",
                )
                button(
                    f"Enable endpoint {row.id}…",
                    asking(visit, "webhook.enable", enable, refresh, **ids),
                    "go",
                )
            endpoint_steps(visit, key, merchant_id, row, refresh)


def _steps(visit: Visit, row: Any, ids: dict[str, Any], refresh: Any) -> None:
    test = Question(
        f"Try endpoint {row.id}?",
        (join("An event that tells nothing is sent to ", tag("code", row.url), "."),),
        confirm="Send it",
    )
    button(f"Try endpoint {row.id}…", asking(visit, "webhook.test", test, refresh, **ids))
    if row.failed:
        again = Question(
            f"Send again what failed at endpoint {row.id}?",
            (f"{row.failed:,} deliveries of the last 30 days failed. Their ids stay.",),
            entry="Since (a day or time, UTC)",
            confirm="Send again",
        )
        button(
            f"Resend what endpoint {row.id} failed to take…",
            asking(visit, "webhook.resend_failed", again, refresh, entered="since", **ids),
            "go",
        )
    disable = Question(
        f"Disable endpoint {row.id}?",
        ("What waits for it waits. What happens meanwhile is not kept for it.",),
        reason="Why",
        confirm="Disable",
        kind="danger",
    )
    button(f"Disable endpoint {row.id}…", asking(visit, "webhook.disable", disable, refresh, **ids))


def _facts(visit: Visit, key: str, row: Any) -> Html:
    def some(state: str, count: int) -> Any:
        query = urlencode({"state": state, "endpoint": row.id})
        said = "10,000 or more" if count >= 10_000 else number(visit, count)
        return link(said, f"/m/{key}/webhooks?{query}") if count else None

    return facts(
        ("Address", tag("code", row.url)),
        ("For", row.description),
        ("Told of", "everything" if row.types == ["*"] else ", ".join(row.types)),
        ("On their way", some("pending", row.pending)),
        ("Failed", some("failed", row.failed)),
        ("Fails since", row.failing_since and when(visit, row.failing_since)),
        (
            "Disabled",
            row.disabled_at
            and join(when(visit, row.disabled_at), f" by {row.disabled_by}: {row.disabled_reason}"),
        ),
        ("Old secret until", row.old_secret_until and when(visit, row.old_secret_until)),
    )


def _came(row: Any) -> Any:
    return row.error or (f"answered {row.status}" if row.status is not None else "")


def _log(visit: Visit, key: str, rows: list[Any]) -> Html:
    return table(
        [
            Column("Delivery", lambda r: link(r.id, f"/m/{key}/webhooks/{r.id}"), "id"),
            Column("Event", lambda r: r.type),
            Column("Endpoint", lambda r: r.endpoint_id, "id"),
            Column("State", lambda r: chip(r.state)),
            Column("Tries", lambda r: number(visit, r.tries), "num"),
            Column("Last", _came),
            Column(
                "Next", lambda r: when(visit, r.due_at) if r.state == "pending" and r.tries else ""
            ),
            Column("Happened", lambda r: when(visit, r.event_at)),
        ],
        rows,
        empty="Nothing was sent that fits. The log goes back 30 days.",
        label="Deliveries",
    )


async def _draw_one(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    wanted = shown.params["delivery"]
    parts: list[Live] = []

    def load(tx: Tx) -> tuple[Any, bytes, list[Any]]:
        row = delivery_store.find(tx, merchant.id, whole(wanted) or 0)
        if row is None:
            raise NotFound("delivery", wanted, "It is not in the log, which goes back 30 days.")
        body = deliveries.body_of(tx, row.merchant_id, row.merchant, row.mode, row)
        return row, body, delivery_store.attempts(tx, row.id)

    async def refresh() -> None:
        await parts[0].again()

    def show(data: tuple[Any, bytes, list[Any]]) -> None:
        row, body, tried = data
        if row.state != "pending" and allowed(visit, "webhook.resend"):
            question = Question(
                f"Send delivery {row.id} again?",
                (join(f"{row.type} goes to ", tag("code", row.url), " under the id that it had."),),
                confirm="Send again",
            )
            ids = {"merchant_id": merchant.id, "delivery_id": row.id}
            with ui.element("div").classes("row"):
                ask = asking(visit, "webhook.resend", question, refresh, **ids)
                button("Resend…", ask, "go")
        put(sheet(_about(visit, merchant.key, row)))
        put(sheet(_attempts(visit, tried), title="Attempts", flush=True))
        put(sheet(source(json.loads(body)), title="What is sent"))

    head(join(link("Webhooks", f"/m/{merchant.key}/webhooks"), f" / {wanted}"))
    parts.append(await live(visit, lambda: visit.read(load), show))


def _about(visit: Visit, key: str, row: Any) -> Html:
    to = f"/m/{key}/webhooks?{urlencode({'endpoint': row.endpoint_id})}"
    return facts(
        ("State", chip(row.state)),
        ("Event", join(row.type, " ", tag("code", row.uid))),
        ("To", join(link(f"endpoint {row.endpoint_id}", to), " ", tag("code", row.url))),
        ("Tries", number(visit, row.tries)),
        ("Last", _came(row)),
        ("Next try", when(visit, row.due_at) if row.state == "pending" else None),
        ("Happened", when(visit, row.event_at)),
        ("Ended", row.settled_at and when(visit, row.settled_at)),
    )


def _attempts(visit: Visit, rows: list[Any]) -> Html:
    return table(
        [
            Column("At", lambda r: when(visit, r.sent_at)),
            Column("Outcome", lambda r: chip(r.outcome)),
            Column("Answer", _came),
            Column("Took", lambda r: f"{r.milliseconds:,} ms", "num"),
            Column("Said", lambda r: tag("code", r.response) if r.response else ""),
        ],
        rows,
        empty="It was not tried yet.",
        label="Attempts",
    )
