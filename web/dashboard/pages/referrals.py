"""Referrals: programs with their terms, codes, and what conversions earned."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.db import Tx
from domain.referrals import admin, views
from web.dashboard.components.live import allowed, head, put
from web.dashboard.components.markup import tag
from web.dashboard.components.show import chip, link, money, number, payee_page, sheet, source, when
from web.dashboard.components.table import ROWS, Column, entry, filters, further, table
from web.dashboard.pages.programs import address
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/referrals", "Referrals", _draw)


def before_of(query: dict[str, str]) -> tuple[datetime, int] | None:
    """Where a page of trackings begins: a time and an id; None for the first."""
    at, _, number_ = query.get("before", "").partition("~")
    try:
        return datetime.fromisoformat(at), int(number_)
    except ValueError:
        return None


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    user, code = visit.query.get("user") or None, visit.query.get("code") or None

    def load(tx: Tx) -> tuple[list[Any], list[Any], list[Any]]:
        return (
            admin.programs(tx, merchant.id),
            views.codes(tx, merchant.id, name=code, user_id=user, before=None, limit=20),
            views.trackings(
                tx, merchant.id, user_id=user, before=before_of(visit.query), limit=ROWS
            ),
        )

    programs, codes, trackings = await visit.read(load)
    more = head("Referrals")
    if allowed(visit, "program.create"):
        with more:
            put(link("Add a program", f"/m/{merchant.key}/program", class_="link-button"))
    put(sheet(_programs(visit, merchant.key, programs), title="Programs", flush=True))
    put(filters(visit, entry(visit, "user", "User"), entry(visit, "code", "Code")))
    put(sheet(_codes(visit, merchant.key, codes), title="Codes, newest 20", flush=True))
    put(
        sheet(
            _trackings(visit, merchant.key, trackings),
            further(visit, trackings, lambda r: f"{r.converted_at.isoformat()}~{r.id}"),
            title="Conversions",
            flush=True,
        )
    )


def _programs(visit: Visit, key: str, rows: list[Any]) -> Any:
    return table(
        [
            Column("Program", lambda r: link(r.name, address(key, r.key), title=r.key)),
            Column("State", lambda r: chip(r.status)),
            Column("Version", lambda r: r.version, "num"),
            Column("Held for", lambda r: f"{r.hold_days} days", "num"),
            Column("Currency", lambda r: r.currency.upper()),
            Column("Least sale", lambda r: money(visit, r.min_amount, r.currency), "num"),
            Column(
                "Pays the referrer",
                lambda r: tag("details", tag("summary", "show"), source(r.rule)),
            ),
            Column(
                "Pays the referred",
                lambda r: (
                    tag("details", tag("summary", "show"), source(r.referee_rule))
                    if r.referee_rule
                    else ""
                ),
            ),
        ],
        rows,
        empty="No program. Add one above, or with payspool programs create.",
        label="Programs",
    )


def _codes(visit: Visit, key: str, rows: list[Any]) -> Any:
    return table(
        [
            Column("Code", lambda r: tag("code", r.code)),
            Column("User", lambda r: link(r.user_id, payee_page(key, r.user_id))),
            Column("Program", lambda r: r.program),
            Column("State", lambda r: chip(r.status)),
            Column("Used", lambda r: number(visit, r.uses), "num"),
            Column("At most", lambda r: number(visit, r.max_uses), "num"),
            Column("Until", lambda r: when(visit, r.expires_at)),
        ],
        rows,
        empty="No code matches. Add some: payspool codes create.",
        label="Codes",
    )


def _trackings(visit: Visit, key: str, rows: list[Any]) -> Any:
    return table(
        [
            Column("Tracking", lambda r: link(r.id, f"/m/{key}/events/{r.inbox_id}"), "id"),
            Column(
                "Referrer",
                lambda r: link(r.referrer_user_id, payee_page(key, r.referrer_user_id)),
            ),
            Column("Referred", lambda r: r.referred_user_id),
            Column("Code", lambda r: tag("code", r.code)),
            Column("Transaction", lambda r: tag("code", r.transaction_id or "")),
            Column("Sale", lambda r: money(visit, r.transaction_amount, r.currency), "num"),
            Column("Earned", lambda r: money(visit, r.amount_earned, r.currency), "num"),
            Column(
                "Taken back",
                lambda r: money(visit, r.reversed_amount, r.currency) if r.reversed_amount else "",
                "num",
            ),
            Column("Converted", lambda r: when(visit, r.converted_at)),
            Column("Why", lambda r: tag("details", tag("summary", "show"), source(r.explanation))),
        ],
        rows,
        empty="No conversion matches. They come with conversion.recorded events.",
        label="Conversions",
    )
