"""The ledger: balances, invariants, and what a gateway's books say otherwise."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from domain.db import Tx
from domain.ledger import service as ledger
from domain.payouts.store import differences, finding, reversals
from domain.schedules import store as schedules
from web.dashboard.components.live import (
    Live,
    Question,
    allowed,
    asking,
    button,
    head,
    later,
    live,
    put,
)
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import chip, link, money, number, sheet, when
from web.dashboard.components.table import Column, choice, filters, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

SHOWN = 100


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/ledger", "Ledger", _draw)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    parts: list[Live] = []
    resolved = visit.query.get("differences") == "resolved too"

    def load(tx: Tx) -> dict[str, Any]:
        return {
            "checked": schedules.last_done(tx, "invariants.check"),
            "differences": differences.listing(tx, merchant.id, resolved=resolved, limit=SHOWN),
            "adjustments": finding.adjustments(tx, merchant.id),
            "reversals": reversals.listing(tx, merchant.id, undecided=True, limit=SHOWN),
        }

    async def refresh() -> None:
        await parts[0].again()

    head("Ledger")
    put(filters(visit, choice(visit, "differences", "Differences", ["resolved too"], every="open")))
    parts.append(
        await live(
            visit,
            lambda: visit.read(load),
            lambda data: _show(visit, merchant.key, merchant.id, data, refresh),
        )
    )

    async def balances() -> None:
        rows = await visit.read(lambda tx: ledger.sums(tx, merchant.id))
        put(sheet(_balances(visit, rows), title="Balances (credits minus debits)", flush=True))

    later(balances, "Balances are being summed…")


def _show(visit: Visit, key: str, merchant_id: int, data: dict[str, Any], refresh: Any) -> None:
    put(_invariants(visit, data["checked"]))
    put(
        sheet(
            _differences(key, data["differences"]),
            title="Differences with gateways",
            flush=True,
        )
    )
    if allowed(visit, "difference.resolve"):
        with ui.element("div").classes("row"):
            for row in [r for r in data["differences"] if r.state == "open"][:20]:
                question = Question(
                    f"Resolve difference {row.id}?",
                    (
                        f"{row.kind} of {row.subject}: ours {row.ours}, theirs {row.theirs}.",
                        "A payout that it stopped stays stopped.",
                    ),
                    reason="What explains it",
                    confirm="Resolve",
                )
                button(
                    f"Resolve {row.id}…",
                    asking(
                        visit,
                        "difference.resolve",
                        question,
                        refresh,
                        merchant_id=merchant_id,
                        difference_id=row.id,
                    ),
                )
    if data["reversals"]:
        _reversals(visit, key, merchant_id, data["reversals"], refresh)
    if data["adjustments"]:
        _adjustments(visit, merchant_id, data["adjustments"], refresh)


def _invariants(visit: Visit, checked: Any) -> Html:
    if checked is None:
        return tag(
            "p",
            "The invariants were not checked yet. The scheduler does it every ten minutes: payspool scheduler",
            class_="sheet",
        )
    broken = (checked.progress or {}).get("violations", 0)
    at = when(visit, checked.fire_at)
    if broken:
        said = join(
            f"{broken} invariants do not hold, checked ",
            at,
            ". ",
            link("What they say", "/audit?action=invariant.broken"),
        )
        return tag("p", said, class_="wrong", role="alert")
    return tag(
        "p",
        tag("span", "holds", class_="chip good"),
        " Every invariant holds, checked ",
        at,
        class_="sheet",
    )


def _differences(key: str, rows: list[Any]) -> Html:
    def payout(row: Any) -> Any:
        return link(row.payout_id, f"/m/{key}/payouts/{row.payout_id}") if row.payout_id else ""

    return table(
        [
            Column("Difference", lambda r: r.id, "id"),
            Column("Kind", lambda r: r.kind.replace("_", " ")),
            Column("Day", lambda r: str(r.day)),
            Column("Subject", lambda r: r.subject),
            Column("Payout", payout, "id"),
            Column("Ours", lambda r: r.ours),
            Column("Theirs", lambda r: r.theirs),
            Column("State", lambda r: chip(r.state)),
        ],
        rows,
        empty="None is open: both books say the same, as far as they were compared.",
        label="Differences",
    )


def _reversals(visit: Visit, key: str, merchant_id: int, rows: list[Any], refresh: Any) -> None:
    put(
        sheet(
            table(
                [
                    Column("Reversal", lambda r: r.id, "id"),
                    Column(
                        "Payout",
                        lambda r: link(r.payout_id, f"/m/{key}/payouts/{r.payout_id}"),
                        "id",
                    ),
                    Column("User", lambda r: r.user_id),
                    Column("Came back", lambda r: money(visit, r.amount, r.currency), "num"),
                    Column("Of", lambda r: money(visit, r.paid, r.currency), "num"),
                    Column("At the gateway", lambda r: tag("code", r.external_id)),
                    Column("Since", lambda r: when(visit, r.created_at)),
                ],
                rows,
                empty="",
                label="Reversals",
            ),
            title="Came back, and nobody decided what becomes of it",
            flush=True,
        )
    )
    if not allowed(visit, "reversal.decide"):
        return
    with ui.element("div").classes("row"):
        for row in rows[:20]:
            named = join(money(visit, row.amount, row.currency), f" of payout {row.payout_id}.")
            ids: dict[str, Any] = {"merchant_id": merchant_id, "reversal_id": row.id}
            for owed, verb, follows in (
                (True, "owed again", f"{row.user_id} is owed it again; the next run can pay it."),
                (False, "kept", "The merchant keeps it."),
            ):
                question = Question(
                    f"Reversal {row.id}: {verb}?",
                    (named, follows, "This is said once."),
                    reason="Why",
                    confirm=verb.capitalize(),
                    kind="danger",
                )
                button(
                    f"{row.id}: {verb}…",
                    asking(visit, "reversal.decide", question, refresh, owed=owed, **ids),
                )


def _adjustments(visit: Visit, merchant_id: int, rows: list[Any], refresh: Any) -> None:
    put(
        sheet(
            table(
                [
                    Column("Adjustment", lambda r: r.id, "id"),
                    Column("User", lambda r: r.user_id),
                    Column("Amount", lambda r: money(visit, r.amount, r.currency), "num"),
                    Column("Reason", lambda r: r.reason),
                    Column("Proposed by", lambda r: r.proposed_by),
                ],
                rows,
                empty="",
                label="Adjustments",
            ),
            title="Adjustments that wait for a second person",
            flush=True,
        )
    )
    if not allowed(visit, "adjustment.agree"):
        return
    with ui.element("div").classes("row"):
        for row in rows[:20]:
            named = join(
                money(visit, row.amount, row.currency), f" for {row.user_id}: {row.reason}"
            )
            agree = Question(
                f"Agree to adjustment {row.id}?", (named,), confirm="Book it", kind="danger"
            )
            reject = Question(f"Reject adjustment {row.id}?", (named,), confirm="Reject it")
            ids: dict[str, Any] = {"merchant_id": merchant_id, "number": row.id}
            if row.proposed_by != visit.user.name:
                button(
                    f"Agree to {row.id}…",
                    asking(visit, "adjustment.agree", agree, refresh, **ids),
                    "go",
                )
            button(f"Reject {row.id}…", asking(visit, "adjustment.reject", reject, refresh, **ids))


def _balances(visit: Visit, rows: list[Any]) -> Html:
    return table(
        [
            Column("Account", lambda r: r.kind.replace("_", " ")),
            Column(
                "Currency", lambda r: r.currency.upper() if ":" not in r.currency else r.currency
            ),
            Column("Accounts", lambda r: number(visit, r.accounts), "num"),
            Column("Balance", lambda r: money(visit, r.balance, r.currency), "num"),
        ],
        rows,
        empty="Nothing was booked yet.",
        label="Balances",
    )
