"""What was booked since midnight, by currency and by program; and what is held and on its way now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.charts import store as charts
from domain.db import Tx
from domain.money import is_currency
from domain.payouts.store import finding
from domain.referrals import holds
from web.dashboard.components.live import live, put
from web.dashboard.components.markup import Html, join
from web.dashboard.components.show import money, number, sheet
from web.dashboard.components.table import Column, table
from web.dashboard.visit import Visit

SECONDS: Final = 60
"""The numbers are a minute old anyway."""
SUMMED_MAX: Final = 100_000
"""Payouts on their way, and holds, that are summed."""
_BOOKED: Final = {
    "booked.reward": "earned",
    "booked.payout_paid": "paid",
    "booked.payout_failed": "failed",
    "booked.points_earned": "issued",
    "booked.points_redeemed": "redeemed",
    "booked.points_expired": "expired",
}
_ON_THE_WAY: Final = frozenset({"sending", "in_transit", "unknown"})


@dataclass(frozen=True)
class Today:
    """Amounts by what they are and by currency, or ``points:`` and a program."""

    amounts: Mapping[str, Mapping[str, int]]

    def of(self, what: str, label: str) -> int | None:
        """How much of ``what`` there was; None if there was none."""
        return self.amounts.get(what, {}).get(label) or None

    def labels(self, *, currencies: bool) -> list[str]:
        """Currencies, or what points are of, in which there is anything."""
        every = {
            label
            for amounts in self.amounts.values()
            for label, amount in amounts.items()
            if amount
        }
        return sorted(label for label in every if is_currency(label) is currencies)


async def draw(visit: Visit) -> None:
    """Show it, and keep it up to date."""
    await live(
        visit, lambda: visit.read(lambda tx: read(tx, visit)), _shown(visit), seconds=SECONDS
    )


def read(tx: Tx, visit: Visit) -> Today:
    """What was booked since the reader's midnight, and what is held and on its way now."""
    midnight = charts.minute(tx).astimezone(visit.zone).replace(hour=0, minute=0)
    found: dict[str, dict[str, int]] = {"held": holds.held_money(tx, SUMMED_MAX), "in flight": {}}
    for row in charts.totals(tx, list(_BOOKED), midnight):
        found.setdefault(_BOOKED[row.name], {})[row.label] = row.value
    for row in finding.open_money(tx, SUMMED_MAX):
        if row.state in _ON_THE_WAY:
            flying = found["in flight"]
            flying[row.currency] = flying.get(row.currency, 0) + row.amount
    return Today(found)


def _shown(visit: Visit) -> Any:
    def show(today: Today) -> None:
        shown = [sheet(_money(visit, today), title="Money today", flush=True)]
        if today.labels(currencies=False):
            shown.append(sheet(_points(visit, today), title="Points today", flush=True))
        put(join(*shown))

    return show


def _money(visit: Visit, today: Today) -> Html:
    def column(title: str, what: str) -> Column:
        def cell(currency: str) -> Any:
            amount = today.of(what, currency)
            return "" if amount is None else money(visit, amount, currency)

        return Column(title, cell, "num")

    return table(
        [
            Column("Currency", str.upper),
            column("Earned", "earned"),
            column("Paid", "paid"),
            column("Failed", "failed"),
            column("Held now", "held"),
            column("In flight now", "in flight"),
        ],
        today.labels(currencies=True),
        empty="Nothing was booked since midnight, nothing is held or on its way. Numbers are a minute late.",
        label="Money today by currency",
    )


def _points(visit: Visit, today: Today) -> Html:
    return table(
        [
            Column("Program", lambda label: label.removeprefix("points:")),
            Column("Issued", lambda label: number(visit, today.of("issued", label)), "num"),
            Column("Redeemed", lambda label: number(visit, today.of("redeemed", label)), "num"),
            Column("Expired", lambda label: number(visit, today.of("expired", label)), "num"),
        ],
        today.labels(currencies=False),
        empty="",
        label="Points today by program",
    )
