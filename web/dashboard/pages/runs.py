"""Payout runs: preview and start one, and the list of those that were."""

from __future__ import annotations

from typing import Any, Final

from domain.db import Tx
from domain.payouts.store import looking
from web.dashboard.components.live import head, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import chip, link, money, number, sheet, when
from web.dashboard.components.table import ROWS, Column, choice, filters, further, table
from web.dashboard.pages.preview import show_preview
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

STATES: Final = ("building", "frozen", "pending_approval", "approved", "rejected", "settled")


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/runs", "Payout runs", _draw)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    before = visit.number("before")
    state = visit.query.get("state") or None
    head("Payout runs")
    await show_preview(visit, merchant.key, merchant.id)
    put(filters(visit, choice(visit, "state", "State", STATES)))

    def load(tx: Tx) -> list[Any]:
        return looking.runs(tx, merchant.id, state=state, before=before, limit=ROWS)

    await live(visit, lambda: visit.read(load), lambda rows: _show(visit, merchant.key, rows))


def made(visit: Visit, result: dict[str, Any], what: str) -> Html:
    """How many payouts a run made (``what`` is payouts), or their sums by currency."""
    sums = (result or {}).get("by_currency", {})
    if what == "payouts":
        return number(visit, sum(one["payouts"] for one in sums.values()))
    return join(*(tag("div", money(visit, one["amount"], code)) for code, one in sums.items()))


def _show(visit: Visit, key: str, rows: list[Any]) -> None:
    put(
        sheet(
            table(
                [
                    Column("Run", lambda r: link(r.id, f"/m/{key}/runs/{r.id}"), "id"),
                    Column("Name", lambda r: r.name),
                    Column("State", lambda r: chip(r.state)),
                    Column("Payouts", lambda r: made(visit, r.result, "payouts"), "num"),
                    Column("Pays", lambda r: made(visit, r.result, "amount"), "num"),
                    Column("As of", lambda r: when(visit, r.as_of)),
                    Column("Approved by", lambda r: r.approved_by),
                    Column("Made", lambda r: when(visit, r.created_at)),
                ],
                rows,
                empty="No runs. Preview one above: it shows who would be paid, and writes nothing.",
                label="Payout runs",
            ),
            further(visit, rows, lambda r: r.id),
            flush=True,
        )
    )
