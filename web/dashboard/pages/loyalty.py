"""Loyalty: programs, points that will expire, cards with their lots, and a card's history with its reasons."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from domain import clock
from domain.db import Tx
from domain.errors import NotFound
from domain.loyalty import service as loyalty
from domain.loyalty.store import views
from web.dashboard.components.live import allowed, head, later, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import (
    card_page,
    chip,
    facts,
    link,
    number,
    number_text,
    sheet,
    source,
    when,
)
from web.dashboard.components.table import ROWS, Column, entry, filters, further, table
from web.dashboard.pages.expiring import forecasts, sweeps
from web.dashboard.pages.loyalty_programs import address
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit

WEEKS: Final = 26
"""How far points that will expire are foreseen."""


def install(pages: Pages) -> None:
    """Add the pages."""
    pages.add("/m/{merchant}/loyalty", "Loyalty", _draw)
    pages.add("/m/{merchant}/loyalty/{card:path}", "Card", _draw_one)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    customer, after = visit.query.get("customer") or None, visit.query.get("after")

    def foreseen(tx: Tx) -> list[Any]:
        now = clock.business_now(tx)
        return views.forecast(tx, merchant.id, now, now + timedelta(weeks=WEEKS))

    async def forecast() -> None:
        put(tag("div", *forecasts(visit, await visit.read(foreseen)), class_="cols"))

    async def programs() -> None:
        rows = await visit.read(lambda tx: loyalty.summary(tx, merchant.id))
        put(sheet(_programs(visit, merchant.key, rows), title="Programs", flush=True))

    cards = await visit.read(
        lambda tx: views.cards(tx, merchant.id, customer_id=customer, after=after, limit=ROWS)
    )
    more = head("Loyalty")
    if allowed(visit, "loyalty_program.create"):
        with more:
            put(link("Add a program", f"/m/{merchant.key}/loyalty-program", class_="link-button"))
    later(programs, "Points are being summed…")
    later(forecast, "Points that will expire are being summed…")
    later(lambda: sweeps(visit, merchant), "What is due now is being summed…")
    put(filters(visit, entry(visit, "customer", "Customer")))
    put(
        sheet(
            _cards(visit, merchant.key, cards),
            further(visit, cards, lambda r: r.number, name="after"),
            title="Cards",
            flush=True,
        )
    )


def _programs(visit: Visit, key: str, rows: list[Any]) -> Html:
    return table(
        [
            Column("Program", lambda r: link(r.name, address(key, r.program), title=r.program)),
            Column("State", lambda r: chip(r.status)),
            Column("Cards", lambda r: number(visit, r.cards), "num"),
            Column("Issued", lambda r: number(visit, r.issued), "num"),
            Column("Redeemed", lambda r: number(visit, r.redeemed), "num"),
            Column("Expired", lambda r: number(visit, r.expired), "num"),
            Column("Outstanding", lambda r: number(visit, r.outstanding), "num"),
        ],
        rows,
        empty="No program. Add one above, or with payspool loyalty create-program.",
        label="Programs",
    )


def _cards(visit: Visit, key: str, rows: list[Any]) -> Html:
    return table(
        [
            Column("Card", lambda r: link(r.number, card_page(key, r.number))),
            Column("Customer", lambda r: r.customer_id),
            Column("Program", lambda r: r.program),
            Column("State", lambda r: chip(r.status)),
            Column("Points", lambda r: number(visit, r.points_balance), "num"),
            Column("Stamps", lambda r: number(visit, r.stamps_balance), "num"),
            Column("All expire", lambda r: when(visit, r.inactivity_deadline)),
            Column("Last used", lambda r: when(visit, r.last_activity_at)),
        ],
        rows,
        empty="No card matches. A loyalty.card_created event opens one, or payspool import cards.",
        label="Cards",
    )


async def _draw_one(shown: Shown) -> None:
    visit, merchant, card = shown.visit, shown.merchant, shown.params["card"]
    before = visit.number("before")

    def load(tx: Tx) -> tuple[Any, list[Any], list[Any], Any, list[Any]]:
        now = clock.business_now(tx)
        found = loyalty.card(tx, merchant.id, card, now)
        if found is None:
            raise NotFound("card", card, "Find it by its customer under Loyalty.")
        return (
            found,
            views.card(tx, merchant.id, card, now),
            views.entries(tx, merchant.id, card, before=before, limit=ROWS),
            loyalty.tier(tx, merchant.id, card, now),
            loyalty.tier_changes(tx, merchant.id, card=card),
        )

    head(join(link("Loyalty", f"/m/{merchant.key}/loyalty"), f" / {card}"))
    found, lots, history, tier, changes = await visit.read(load)
    put(
        sheet(
            facts(
                ("Customer", found.customer_id),
                ("Program", found.program),
                ("State", chip(found.status)),
                *(
                    (name.replace("_", " ").capitalize(), _value(visit, value))
                    for name, value in _standing(found)
                ),
                *(
                    (
                        "Of it expire" if at else "Of it never expire",
                        join(number(visit, points), " points ", when(visit, at)),
                    )
                    for at, points in found.points.by_deadline
                ),
                ("Owes", f"{number_text(visit, found.debt)} points" if found.debt else None),
                ("Stamps", number(visit, found.stamps)),
                ("Tier", _tier(visit, tier) if tier else None),
                ("Last used", when(visit, found.last_activity_at)),
            )
        )
    )
    put(
        sheet(
            _lots(visit, [row for row in lots if row.points is not None]),
            title="Open lots",
            flush=True,
        )
    )
    if changes:
        put(sheet(_tier_changes(visit, changes), title="Tiers", flush=True))
    put(
        sheet(
            _history(visit, merchant.key, card, history),
            further(visit, history, lambda r: r.seq),
            title="History",
            flush=True,
        )
    )


def _standing(found: Any) -> list[tuple[str, Any]]:
    points = found.points
    return [
        (name, getattr(points, name))
        for name in points.__dataclass_fields__
        if name != "by_deadline"
    ]


def _tier(visit: Visit, tier: Any) -> Html:
    earned = f"{tier.key or 'none'}, with {number_text(visit, tier.points)} points of the period"
    return join(earned, " until ", when(visit, tier.until)) if tier.until else join(earned)


def _tier_changes(visit: Visit, rows: list[Any]) -> Html:
    why = {
        "earned": "points earned",
        "taken_back": "points taken back",
        "period": "the period ended",
        "terms": "another table of tiers",
        "merged": "two cards became one",
    }
    return table(
        [
            Column("When", lambda r: when(visit, r.changed_at)),
            Column("From", lambda r: r.from_tier or "none"),
            Column("To", lambda r: r.to_tier or "none"),
            Column("Why", lambda r: why[r.reason]),
            Column("Points of the period", lambda r: number(visit, r.points), "num"),
        ],
        rows,
        empty="",
        label="Tiers",
    )


def _value(visit: Visit, value: Any) -> Any:
    if isinstance(value, int):
        return f"{number_text(visit, value)} points"
    return (
        when(visit, value)
        if hasattr(value, "astimezone")
        else value
        if value is None
        else str(value)
    )


def _lots(visit: Visit, rows: list[Any]) -> Html:
    return table(
        [
            Column("Earned", lambda r: when(visit, r.occurred_at)),
            Column("Usable from", lambda r: when(visit, r.available_at)),
            Column("Points", lambda r: number(visit, r.points), "num"),
            Column("Left", lambda r: number(visit, r.remaining), "num"),
            Column("Held", lambda r: number(visit, r.held) if r.held else "", "num"),
            Column("Expires", lambda r: when(visit, r.expires_at)),
        ],
        rows,
        empty="No lot is open.",
        label="Open lots",
    )


def _history(visit: Visit, key: str, card: str, rows: list[Any]) -> Html:
    def entry_of(seq: int) -> Html:
        return link(f"{seq}", f"{card_page(key, card)}?before={seq + 1}")

    def corrects(row: Any) -> Html:
        said = [("corrects", row.corrects)] if row.corrects else []
        said += [("corrected by", seq) for seq in row.corrected_by]
        return join(*(tag("div", f"{word} ", entry_of(seq)) for word, seq in said))

    def where(row: Any) -> Html:
        told = (
            (row.store_name or row.store_id, row.store_id),
            (row.staff_name or row.staff_pin_id, row.staff_pin_id),
            (row.terminal_device_id, row.principal_id),
        )
        shown = [tag("span", said, title=id_) for said, id_ in told if said]
        return join(*(join(" · " if n else "", one) for n, one in enumerate(shown)))

    def points(row: Any) -> str:
        if row.points_delta:
            return f"{row.points_delta:+,}"
        return f"{row.stamps_delta:+} stamps" if row.stamps_delta else ""

    def event(row: Any) -> Any:
        return (
            link(row.inbox_id, f"/m/{key}/events/{row.inbox_id}") if row.inbox_id else "the sweep"
        )

    return table(
        [
            Column("Entry", lambda r: r.seq, "id"),
            Column("What", lambda r: r.type.replace("_", " ")),
            Column("Points", points, "num"),
            Column("Balance", lambda r: number(visit, r.points_balance_after), "num"),
            Column("When", lambda r: when(visit, r.transaction_at)),
            Column("Event", event, "id"),
            Column("Order", lambda r: tag("code", r.order_reference or "")),
            Column("Where and who", where),
            Column("Corrections", corrects),
            Column(
                "Why",
                lambda r: tag("details", tag("summary", r.reason or "show"), source(r.explanation)),
            ),
        ],
        rows,
        empty="Nothing happened on it.",
        label="History",
    )
