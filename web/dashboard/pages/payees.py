"""Payees: what is owed to each, how they are paid, and why not."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from domain import clock
from domain.audit import store as audit_store
from domain.db import Tx
from domain.earnings import service as earnings
from domain.errors import NotFound
from domain.payouts.rules.explaining import masked
from domain.payouts.store import looking
from web.dashboard.components.live import Live, Question, allowed, asking, button, head, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import chip, facts, link, money, number, payee_page, sheet, when
from web.dashboard.components.table import ROWS, Column, entry, filters, further, table
from web.dashboard.pages.audit import audit_table
from web.dashboard.pages.payouts import payout_table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit


def install(pages: Pages) -> None:
    """Add the pages."""
    pages.add("/m/{merchant}/payees", "Payees", _draw)
    pages.add("/m/{merchant}/payees/{user:path}", "Payee", _draw_one)


def rows_of(
    tx: Tx, merchant_id: int, query: dict[str, str], limit: int, after: str | None
) -> list[Any]:
    """The payees that the page's filters mean."""
    if query.get("user"):
        found = looking.payee(tx, merchant_id, query["user"])
        return [] if found is None else [found]
    return looking.payees(tx, merchant_id, after=after, limit=limit)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    after = visit.query.get("after")
    head("Payees")
    export = visit.with_query(after=None).replace(
        f"/m/{merchant.key}/payees", f"/export/{merchant.key}/payees.csv", 1
    )
    put(filters(visit, entry(visit, "user", "User"), export=export))
    rows = await visit.read(lambda tx: rows_of(tx, merchant.id, visit.query, ROWS, after))
    put(
        sheet(
            table(
                [
                    Column("User", lambda r: link(r.user_id, payee_page(merchant.key, r.user_id))),
                    Column("Name", lambda r: r.name),
                    Column("Owed", lambda r: _owed(visit, r.owed), "num"),
                    Column("Method", lambda r: r.method),
                    Column("Account", lambda r: tag("code", masked(r.account or ""))),
                    Column("Ready", _ready),
                ],
                rows,
                empty="No payee. One appears with its first payee.updated event,"
                " or by payspool payees add.",
                label="Payees",
            ),
            further(visit, rows, lambda r: r.user_id, name="after"),
            flush=True,
        )
    )


def _owed(visit: Visit, owed: dict[str, int]) -> Html:
    return join(*(tag("div", money(visit, amount, code)) for code, amount in sorted(owed.items())))


def _ready(row: Any) -> Html:
    if row.blocked_reason:
        return join(tag("span", "blocked", class_="chip bad"), f" {row.blocked_reason}")
    if row.method != "manual" and not row.account:
        return tag("span", "no account yet", class_="chip warn")
    return tag("span", "ready", class_="chip good")


async def _draw_one(shown: Shown) -> None:
    visit, merchant, user_id = shown.visit, shown.merchant, shown.params["user"]
    parts: list[Live] = []

    def load(tx: Tx) -> dict[str, Any]:
        payee = looking.payee(tx, merchant.id, user_id)
        summed = earnings.summary(tx, merchant.id, user_id, clock.business_now(tx))
        if payee is None and not summed:
            raise NotFound("payee", user_id, "Nothing was ever earned under this id.")
        return {
            "payee": payee,
            "earned": summed,
            "payouts": looking.payouts(tx, merchant.id, user_id=user_id, limit=20),
            "left": looking.last_exclusion(tx, merchant.id, user_id),
            "entries": audit_store.page(
                tx,
                merchant_id=merchant.id,
                subject=("payee", user_id),
                actor=None,
                action=None,
                before=None,
                limit=30,
            ),
        }

    async def refresh() -> None:
        await parts[0].again()

    head(join(link("Payees", f"/m/{merchant.key}/payees"), f" / {user_id}"))
    parts.append(
        await live(
            visit,
            lambda: visit.read(load),
            lambda data: _show(visit, merchant.key, merchant.id, user_id, data, refresh),
        )
    )


def _show(
    visit: Visit, key: str, merchant_id: int, user_id: str, data: dict[str, Any], refresh: Any
) -> None:
    payee, left = data["payee"], data["left"]
    if payee is not None:
        _buttons(visit, merchant_id, payee, refresh)
        put(
            sheet(
                facts(
                    ("Name", payee.name),
                    ("Paid by", payee.method),
                    ("Account", payee.account and tag("code", masked(payee.account))),
                    ("Ready", _ready(payee)),
                    (
                        "Left out last",
                        left
                        and join(
                            link(f"run {left.run_id}", f"/m/{key}/runs/{left.run_id}"),
                            " ",
                            when(visit, left.created_at),
                            f": {left.reason.replace('_', ' ')} {left.detail}, ",
                            money(visit, left.amount, left.currency),
                        ),
                    ),
                    (
                        "Referrals",
                        link(
                            "trackings of this user",
                            f"/m/{key}/referrals?{urlencode({'user': user_id})}",
                        ),
                    ),
                )
            )
        )
    else:
        put(tag("p", "Nobody said yet how to pay this user.", class_="sheet"))
    put(sheet(_earned(visit, data["earned"]), title="Earned", flush=True))
    put(sheet(payout_table(visit, key, data["payouts"]), title="Newest payouts", flush=True))
    put(sheet(audit_table(visit, data["entries"]), title="What was done", flush=True))


def _earned(visit: Visit, rows: list[Any]) -> Html:
    return table(
        [
            Column("Currency", lambda r: r.currency.upper()),
            Column("Earnings", lambda r: number(visit, r.earnings), "num"),
            Column("Due now", lambda r: money(visit, r.due, r.currency), "num"),
            Column("Pending", lambda r: money(visit, r.pending, r.currency), "num"),
            Column("Held", lambda r: money(visit, r.held, r.currency), "num"),
            Column(
                "In payouts",
                lambda r: join(
                    *(
                        tag("div", chip(state), " ", money(visit, amount, r.currency))
                        for state, amount in r.in_payouts.items()
                    )
                ),
                "num",
            ),
            Column("Voided", lambda r: money(visit, r.voided, r.currency), "num"),
        ],
        rows,
        empty="Nothing was earned yet.",
        label="Earned",
    )


def _buttons(visit: Visit, merchant_id: int, payee: Any, refresh: Any) -> None:
    ids: dict[str, Any] = {"merchant_id": merchant_id, "user_id": payee.user_id}
    with ui.element("div").classes("row"):
        if not payee.blocked_reason and allowed(visit, "payee.block"):
            block = Question(
                f"Block {payee.user_id}?",
                ("Runs leave them out until the block is lifted; what they earned stays theirs.",),
                reason="Why",
                confirm="Block",
                kind="danger",
            )
            button("Block…", asking(visit, "payee.block", block, refresh, **ids))
        if payee.blocked_reason and allowed(visit, "payee.unblock"):
            lift = Question(
                f"Pay {payee.user_id} again?",
                (f"Blocked: {payee.blocked_reason}",),
                confirm="Lift the block",
            )
            button("Lift the block…", asking(visit, "payee.unblock", lift, refresh, **ids), "go")
