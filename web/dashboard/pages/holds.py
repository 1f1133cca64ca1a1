"""What is held because it may be fraud, with the evidence; released or rejected by a person."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from domain.db import Tx
from domain.referrals import holds
from web.dashboard.components.live import Live, Question, allowed, asking, button, head, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import chip, facts, link, money, payee_page, sheet, when
from web.dashboard.components.table import Column, choice, filters, further, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

OPEN_ROWS = 50
"""Open holds of a page, each with its buttons (as table.ROWS, by which the pages are counted)."""


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/holds", "Holds", _draw)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    closed = visit.query.get("state") == "ended"
    kind = visit.query.get("kind")
    before = visit.number("before")
    parts: list[Live] = []

    def load(tx: Tx) -> list[Any]:
        return holds.listing(
            tx,
            merchant.id,
            closed=closed,
            kind=kind if kind in holds.KINDS else None,
            before=before,
            limit=OPEN_ROWS,
        )

    async def refresh() -> None:
        await parts[0].again()

    head("Holds")
    put(
        filters(
            visit,
            choice(visit, "state", "State", ["ended"], every="open"),
            choice(visit, "kind", "Kind", holds.KINDS),
        )
    )

    def show(rows: list[Any]) -> None:
        if closed or not rows:
            put(sheet(_ended(visit, merchant.key, rows, closed=closed), flush=True))
        else:
            for row in rows:
                _open(visit, merchant.key, merchant.id, row, refresh)
        put(further(visit, rows, lambda r: r.id))

    parts.append(await live(visit, lambda: visit.read(load), show))


def evidence(key: str, row: Any) -> Html:
    """What was found, as a sentence.

    Of a kind or with fields that this does not know, the fields as they are stored.
    """
    found = row.evidence
    if row.kind == "dispute":
        return join("The purchase is disputed: ", tag("code", row.ref))
    if row.kind == "same_email" and {"referrer", "referred"} <= found.keys():
        return join(
            user(key, found["referrer"]),
            " and ",
            user(key, found["referred"]),
            " have one e-mail address (hash ",
            tag("code", str(found.get("email_hash", ""))[:12]),
            "…).",
        )
    if row.kind == "shared_destination" and {"referrer", "referred"} <= found.keys():
        return join(
            user(key, found["referrer"]),
            " and ",
            user(key, found["referred"]),
            " are paid to one account.",
        )
    if row.kind == "velocity" and {"per", "span", "limit", "conversion"} <= found.keys():
        return join(
            f"Conversion {found['conversion']} of this {found['per']} in the {found['span']} from"
            f" {found.get('from', '?')}; the limit is {found['limit']}.",
        )
    return join(*(f"{name}: {value} " for name, value in found.items()))


def user(key: str, name: Any) -> Html:
    """A link to what somebody earned."""
    return link(name, payee_page(key, name))


def _open(visit: Visit, key: str, merchant_id: int, row: Any, refresh: Any) -> None:
    at_stake = join(money(visit, row.amount_earned, row.currency), f" of {row.referrer_user_id}")
    if row.referee_amount_earned:
        other = money(visit, row.referee_amount_earned, row.currency)
        at_stake = join(at_stake, ", ", other, f" of {row.referred_user_id}")
    title = join(f"Hold {row.id} ", chip(row.kind))
    with ui.element("section").classes("sheet stack"):
        ui.html(join(tag("h2", title), _facts(visit, key, row, at_stake)), sanitize=False)
        if row.kind == "dispute":
            said = "It ends with the dispute's outcome: conversion.disputed with won or lost."
            ui.html(tag("p", said, class_="dim"), sanitize=False)
            return
        with ui.element("div").classes("row"):
            if not allowed(visit, "hold.release"):
                return
            ids: dict[str, Any] = {"merchant_id": merchant_id, "hold_id": row.id}
            release = Question(
                f"Release hold {row.id}?",
                (
                    join("At stake: ", at_stake, "."),
                    "The next run may pay it, unless another hold of this conversion is open.",
                ),
                reason="Why it is no fraud",
                confirm="Release",
                kind="danger",
            )
            reject = Question(
                f"Reject hold {row.id}?",
                (
                    join("At stake: ", at_stake, "."),
                    "It is voided for both sides and never paid; what a payout has of it is taken back. All"
                    " suspicions of this conversion end with it. This is final.",
                ),
                reason="Why it is fraud",
                confirm="Reject",
                kind="danger",
            )
            button(f"Release {row.id}…", asking(visit, "hold.release", release, refresh, **ids))
            button(f"Reject {row.id}…", asking(visit, "hold.reject", reject, refresh, **ids))


def _facts(visit: Visit, key: str, row: Any, at_stake: Html) -> Html:
    return facts(
        ("Evidence", evidence(key, row)),
        ("At stake", at_stake),
        (
            "Taken back",
            money(visit, row.reversed_amount, row.currency) if row.reversed_amount else None,
        ),
        ("Referrer", user(key, row.referrer_user_id)),
        ("Referred", user(key, row.referred_user_id)),
        ("Code", join(tag("code", row.code), f" of {row.program}")),
        (
            "Transaction",
            row.transaction_id
            and join(
                tag("code", row.transaction_id),
                " ",
                link("its event", f"/search?{urlencode({'q': row.transaction_id})}"),
            ),
        ),
        ("Held since", when(visit, row.held_at)),
    )


def _ended(visit: Visit, key: str, rows: list[Any], *, closed: bool) -> Html:
    return table(
        [
            Column("Hold", lambda r: r.id, "id"),
            Column("Kind", lambda r: r.kind.replace("_", " ")),
            Column("Referrer", lambda r: user(key, r.referrer_user_id)),
            Column("Earned", lambda r: money(visit, r.amount_earned, r.currency), "num"),
            Column("Evidence", lambda r: evidence(key, r)),
            Column("Outcome", lambda r: chip(r.outcome)),
            Column("By", lambda r: r.closed_by),
            Column("Why", lambda r: r.close_reason),
            Column("Ended", lambda r: when(visit, r.closed_at)),
        ],
        rows,
        empty="No hold has ended yet."
        if closed
        else "Nothing is held. What looks like fraud comes here before it can be paid:"
        " payspool holds policy says what is looked at.",
        label="Holds",
    )
