"""One payout: why it is where it is, what is in it, its attempts, and the only safe next steps."""

from __future__ import annotations

from typing import Any

from domain.audit import store as audit_store
from domain.db import Tx
from domain.payouts import service
from domain.payouts.service import Explained
from web.dashboard.components.live import Live, head, live, put
from web.dashboard.components.markup import Html, join, tag
from web.dashboard.components.show import chip, facts, link, money, payee_page, sheet, source, when
from web.dashboard.components.table import Column, table
from web.dashboard.pages.audit import audit_table
from web.dashboard.pages.payout_steps import Standing, offer, standing_of
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import Visit, whole


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/m/{merchant}/payouts/{payout}", "Payout", _draw)


async def _draw(shown: Shown) -> None:
    visit, merchant = shown.visit, shown.merchant
    wanted = shown.params["payout"]
    payout_id = whole(wanted) or 0
    after = visit.number("after")
    parts: list[Live] = []

    def load(tx: Tx) -> tuple[Explained, Standing, list[Any]]:
        told = service.explain_payout(tx, merchant.id, merchant.key, payout_id, after_member=after)
        entries = audit_store.page(
            tx,
            merchant_id=None,
            subject=("payout", str(payout_id)),
            actor=None,
            action=None,
            before=None,
            limit=30,
        )
        return told, standing_of(tx, told), entries

    async def refresh() -> None:
        await parts[0].again()

    head(join(link("Payouts", f"/m/{merchant.key}/payouts"), f" / {wanted}"))
    parts.append(
        await live(
            visit,
            lambda: visit.read(load),
            lambda data: _show(visit, merchant.key, merchant.id, data, refresh),
        )
    )


def _show(
    visit: Visit,
    key: str,
    merchant_id: int,
    data: tuple[Explained, Standing, list[Any]],
    refresh: Any,
) -> None:
    told, standing, entries = data
    payout = told.payout
    why = tag("ul", *(tag("li", sentence) for sentence in told.why), class_="why")
    put(
        sheet(
            tag(
                "p",
                tag("b", money(visit, payout.amount, payout.currency)),
                " to ",
                link(payout.user_id, payee_page(key, payout.user_id)),
                " ",
                chip(payout.status),
            ),
            why,
            title="Why it is where it is",
        )
    )
    offer(visit, merchant_id, told, standing, refresh)
    put(sheet(_facts(visit, key, told, standing.said)))
    put(sheet(_attempts(visit, told.attempts), title="Attempts", flush=True))
    if told.reversals:
        put(sheet(_taken_back(visit, told.reversals), title="Asked to be taken back", flush=True))
    more = Html("")
    if told.next_member is not None:
        more = tag(
            "p", link("More of them", visit.with_query(after=told.members[-1].id)), class_="pages"
        )
    put(
        sheet(
            _members(visit, payout, told.members),
            more,
            title=f"What is in it ({payout.members:,} earnings)",
            flush=True,
        )
    )
    put(sheet(audit_table(visit, entries), title="What was done", flush=True))


def _facts(visit: Visit, key: str, told: Explained, said: Any) -> Html:
    payout = told.payout
    return facts(
        (
            "Run",
            link(f"{payout.run_id} ({told.run.name})", f"/m/{key}/runs/{payout.run_id}"),
        ),
        ("Method", payout.method),
        (
            "At the gateway",
            payout.external_transaction_id and tag("code", payout.external_transaction_id),
        ),
        ("Paid", when(visit, payout.processed_at)),
        (
            "Said to be paid outside",
            said
            and join(
                f"by {said.proposed_by}, as ", tag("code", said.reference), f": {said.evidence}"
            ),
        ),
        ("Failed", when(visit, payout.failed_at)),
        ("Error", payout.error_message),
        ("Next try", when(visit, payout.next_try_at)),
        (
            "Came back",
            money(visit, payout.reversed_amount, payout.currency)
            if payout.reversed_amount
            else None,
        ),
        ("Made", when(visit, payout.created_at)),
    )


def _attempts(visit: Visit, rows: list[Any]) -> Html:
    return table(
        [
            Column("Attempt", lambda r: f"{r.n} {r.leg}"),
            Column("State", lambda r: chip(r.state)),
            Column("Sent", lambda r: when(visit, r.sent_at)),
            Column("Tries", lambda r: r.tries, "num"),
            Column(
                "Answer",
                lambda r: join(
                    f"{r.http_status or ''} ",
                    tag("code", r.error_code or ""),
                    f" {r.error_message or r.outcome or ''}",
                ),
            ),
            Column("At the gateway", lambda r: tag("code", r.external_id or "")),
            Column("Key", lambda r: tag("code", r.key)),
            Column(
                "History",
                lambda r: (
                    tag("details", tag("summary", "show"), source(r.history)) if r.history else ""
                ),
            ),
        ],
        rows,
        empty="None: nothing was sent.",
        label="Attempts",
    )


def _taken_back(visit: Visit, rows: list[Any]) -> Html:
    return table(
        [
            Column("Request", lambda r: r.n, "id"),
            Column("Amount", lambda r: money(visit, r.amount, r.currency), "num"),
            Column("State", lambda r: chip(r.state)),
            Column("Asked by", lambda r: f"{r.asked_by}: {r.reason}"),
            Column("Sent", lambda r: when(visit, r.sent_at)),
            Column("Tries", lambda r: r.tries, "num"),
            Column(
                "Answer",
                lambda r: join(tag("code", r.error_code or ""), f" {r.error_message or ''}"),
            ),
            Column("At the gateway", lambda r: tag("code", r.external_id or "")),
        ],
        rows,
        empty="",
        label="Requests to take it back",
    )


def _members(visit: Visit, payout: Any, rows: list[Any]) -> Html:
    return table(
        [
            Column("Earning", lambda r: r.id, "id"),
            Column("Kind", lambda r: r.kind.replace("_", " ")),
            Column("From", lambda r: f"{r.source_kind.replace('_', ' ')} {r.source_id}"),
            Column("Amount", lambda r: money(visit, r.amount, payout.currency), "num"),
            Column("Available", lambda r: when(visit, r.available_at)),
        ],
        rows,
        empty="None: they were given back.",
        label="Earnings",
    )
