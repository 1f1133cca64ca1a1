"""One payout run: what it pays and leaves out, with reasons; approved or rejected by another person."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from domain.db import Tx
from domain.payouts.errors import NoSuchPayout
from domain.payouts.store import bank, looking
from domain.payouts.store import runs as run_store
from web.dashboard.components.live import Live, Question, allowed, asking, button, head, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import chip, facts, link, money, payee_page, sheet, when
from web.dashboard.components.table import ROWS, Column, further, table
from web.dashboard.pages.bank_files import show_files
from web.dashboard.pages.runs import made
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit, whole


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/runs/{run}", "Payout run", _draw)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    wanted = shown.params["run"]
    run_id = whole(wanted) or 0
    after = visit.number("after")
    parts: list[Live] = []

    def load(tx: Tx) -> dict[str, Any]:
        row = run_store.run(tx, run_id)
        if row is None or row.merchant_id != merchant.id:
            raise NoSuchPayout("run", run_id)
        return {
            "run": row,
            "payouts": looking.payouts(tx, merchant.id, run_id=run_id, limit=ROWS),
            "left": looking.exclusions(tx, run_id, after=after, limit=ROWS),
            "reasons": run_store.exclusion_reasons(tx, run_id),
            "waiting": bank.waiting(tx, run_id),
            "files": bank.files(tx, merchant.id, run_id, ROWS),
        }

    async def refresh() -> None:
        await parts[0].again()

    head(join(link("Payout runs", f"/m/{merchant.key}/runs"), f" / {wanted}"))
    parts.append(
        await live(
            visit,
            lambda: visit.read(load),
            lambda data: _show(visit, merchant.key, merchant.id, data, refresh),
        )
    )


def _show(visit: Visit, key: str, merchant_id: int, data: dict[str, Any], refresh: Any) -> None:
    run = data["run"]
    hashed = bytes(run.members_hash).hex()
    if run.state == "pending_approval":
        _decide(visit, merchant_id, run, hashed, refresh)
    put(sheet(_facts(visit, run, hashed)))
    if data["waiting"] or data["files"]:
        show_files(visit, key, merchant_id, run.id, data["waiting"], data["files"], refresh)
    more = tag("p", link("All of them", f"/m/{key}/payouts?run={run.id}"), class_="pages")
    reasons = ", ".join(
        f"{count:,} {reason.replace('_', ' ')}" for reason, count in data["reasons"].items()
    )
    put(
        tag(
            "div",
            sheet(_payouts(visit, key, data["payouts"]), more, title="Pays", flush=True),
            sheet(
                tag("p", reasons, class_="pages") if reasons else "",
                _left(visit, key, data["left"]),
                further(visit, data["left"], lambda r: r.account_id, name="after"),
                title="Leaves out",
                flush=True,
            ),
            class_="cols",
        )
    )


def _facts(visit: Visit, run: Any, hashed: str) -> Html:
    waits = run.state == "pending_approval"
    pays = join(made(visit, run.result, "payouts"), " payouts: ", made(visit, run.result, "amount"))
    approved = run.approved_by and join(f"{run.approved_by} ", when(visit, run.approved_at))
    return facts(
        ("Name", run.name),
        ("State", chip(run.state)),
        ("Pays", pays),
        ("As of", when(visit, run.as_of)),
        ("Prepared by", run.prepared_by),
        ("Can be approved until", when(visit, run.approval_expires_at) if waits else None),
        ("Approved by", approved),
        ("Rejected by", run.rejected_by and f"{run.rejected_by}: {run.reject_reason}"),
        ("Hash of what is in it", tag("code", hashed)),
    )


def _payouts(visit: Visit, key: str, rows: list[Any]) -> Html:
    return table(
        [
            Column("Payout", lambda r: link(r.id, f"/m/{key}/payouts/{r.id}"), "id"),
            Column("User", lambda r: link(r.user_id, payee_page(key, r.user_id))),
            Column("State", lambda r: chip(r.status)),
            Column("Amount", lambda r: money(visit, r.amount, r.currency), "num"),
        ],
        rows,
        empty="It pays nobody.",
        label="Payouts of the run",
    )


def _left(visit: Visit, key: str, rows: list[Any]) -> Html:
    return table(
        [
            Column("User", lambda r: link(r.user_id, payee_page(key, r.user_id))),
            Column("Amount", lambda r: money(visit, r.amount, r.currency), "num"),
            Column("Why not", lambda r: f"{r.reason.replace('_', ' ')}: {r.detail}"),
        ],
        rows,
        empty="Nobody was left out.",
        label="Left out",
    )


def _decide(visit: Visit, merchant_id: int, run: Any, hashed: str, refresh: Any) -> None:
    mine = visit.user.name == run.prepared_by
    sums = (run.result or {}).get("by_currency", {})
    pays = join(
        *(
            join(money(visit, one["amount"], code), f" in {one['payouts']:,} payouts. ")
            for code, one in sums.items()
        )
    )
    with ui.element("section").classes("sheet"):
        said = (
            "You prepared this run: another person has to approve it."
            if mine
            else "This run waits for a person who did not prepare it."
        )
        ui.html(tag("p", tag("b", said)), sanitize=False)
        with ui.element("div").classes("row"):
            if allowed(visit, "run.approve") and not mine:
                approve = Question(
                    f"Approve run {run.id}?",
                    (
                        join("It pays ", pays),
                        f"Prepared by {run.prepared_by}. Hash {hashed[:12]}…: if"
                        " anything in it changed since you looked, it is refused.",
                    ),
                    confirm="Approve and send",
                    kind="danger",
                )
                button(
                    "Approve…",
                    asking(
                        visit,
                        "run.approve",
                        approve,
                        refresh,
                        merchant_id=merchant_id,
                        run_id=run.id,
                        seen=hashed,
                    ),
                    "go",
                )
            if allowed(visit, "run.reject"):
                reject = Question(
                    f"Reject run {run.id}?",
                    ("Its payouts are canceled; the next run can pay what they held.",),
                    reason="Why",
                    confirm="Reject the run",
                    kind="danger",
                )
                button(
                    "Reject…",
                    asking(
                        visit, "run.reject", reject, refresh, merchant_id=merchant_id, run_id=run.id
                    ),
                )
