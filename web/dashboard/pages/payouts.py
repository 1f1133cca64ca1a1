"""A merchant's payouts: the list, with its filters in the address."""

from __future__ import annotations

from typing import Any, Final

from domain.db import Tx
from domain.payouts.store import looking
from web.dashboard.components.live import head, live, put
from web.dashboard.components.markup import join, tag
from web.dashboard.components.show import chip, link, money, payee_page, sheet, when
from web.dashboard.components.table import ROWS, Column, choice, entry, filters, further, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit, whole

STATES: Final = (
    "draft",
    "approved",
    "sending",
    "in_transit",
    "paid",
    "returned",
    "failed",
    "unknown",
    "canceled",
    "reversed",
)


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/payouts", "Payouts", _draw)


def rows_of(
    tx: Tx, merchant_id: int, query: dict[str, str], limit: int, before: int | None
) -> list[Any]:
    """The payouts that the page's filters mean."""
    run = query.get("run", "")
    return looking.payouts(
        tx,
        merchant_id,
        user_id=query.get("user") or None,
        state=query.get("state") or None,
        run_id=whole(run),
        method=query.get("method") or None,
        currency=(query.get("currency") or "").lower() or None,
        frozen=query.get("only") == "stopped in doubt",
        before=before,
        limit=limit,
    )


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    before = visit.number("before")
    head("Payouts")
    export = visit.with_query(before=None).replace(
        f"/m/{merchant.key}/payouts", f"/export/{merchant.key}/payouts.csv", 1
    )
    put(
        filters(
            visit,
            choice(visit, "state", "State", STATES),
            choice(visit, "only", "Only", ("stopped in doubt",)),
            entry(visit, "user", "User"),
            entry(visit, "run", "Run"),
            choice(visit, "method", "Method", ("stripe", "wise", "manual")),
            entry(visit, "currency", "Currency", "usd"),
            export=export,
        )
    )

    def load(tx: Tx) -> list[Any]:
        return rows_of(tx, merchant.id, visit.query, ROWS, before)

    await live(visit, lambda: visit.read(load), lambda rows: _show(visit, merchant.key, rows))


def _show(visit: Visit, key: str, rows: list[Any]) -> None:
    put(sheet(payout_table(visit, key, rows), further(visit, rows, lambda r: r.id), flush=True))


def payout_table(visit: Visit, key: str, rows: list[Any]) -> Any:
    """Payouts as a table."""

    def why(row: Any) -> Any:
        return row.waits_for or row.error_message or ""

    return table(
        [
            Column("Payout", lambda r: link(r.id, f"/m/{key}/payouts/{r.id}"), "id"),
            Column("User", lambda r: link(r.user_id, payee_page(key, r.user_id))),
            Column(
                "State",
                lambda r: join(chip(r.status), " ", chip("frozen") if r.frozen_reason else ""),
            ),
            Column("Amount", lambda r: money(visit, r.amount, r.currency), "num"),
            Column("Method", lambda r: r.method),
            Column("Run", lambda r: link(r.run_id, f"/m/{key}/runs/{r.run_id}"), "id"),
            Column("At the gateway", lambda r: tag("code", r.external_transaction_id or "")),
            Column("Why", why),
            Column("Paid", lambda r: when(visit, r.processed_at)),
            Column("Made", lambda r: when(visit, r.created_at)),
        ],
        rows,
        empty="No payout matches. Runs make them: preview one under Payout runs.",
        label="Payouts",
    )
