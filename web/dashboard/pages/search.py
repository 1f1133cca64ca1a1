"""One box for any id; and, for what needs a person, where it is, merchant by merchant."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from nicegui import ui

from domain.db import Tx
from domain.inbox import listing
from domain.loyalty.store import views as loyalty
from domain.merchants import store as merchants
from domain.payouts.store import finding
from domain.referrals import views as referrals
from web.dashboard.components.live import head, put
from web.dashboard.components.markup import tag
from web.dashboard.components.show import card_page, link, payee_page, sheet
from web.dashboard.components.table import Column, table
from web.dashboard.shell import Pages, Shown
from web.dashboard.visit import whole

Hit = tuple[str, str, str, str]
"""(kind, merchant, what, address)."""

KINDS: Final = {
    "unknown": ("payouts of unknown outcome", "payouts?state=unknown"),
    "frozen": ("payouts stopped in doubt", "payouts?only=stopped+in+doubt"),
    "failed": ("failed payouts", "payouts?state=failed"),
    "approvals": ("runs to approve", "runs?state=pending_approval"),
    "differences": ("differences", "ledger"),
    "reversals": ("reversals to decide", "ledger"),
    "adjustments": ("adjustments", "ledger"),
    "holds": ("rewards held as possible fraud", "holds"),
    "velocity": ("events that were too fast", "velocity"),
    "webhooks": ("webhook endpoints that were given up", "webhooks"),
    "rejected": ("rejected events", "events?status=rejected"),
    "waiting": ("waiting events", "events?status=waiting"),
    "dead": ("events stopped by a bug", "events?status=dead"),
}


def install(pages: Pages) -> None:
    """Add the page."""
    pages.add("/search", "Search", _draw)


def hits(tx: Tx, wanted: str) -> list[Hit]:
    """Everything that has this id, of any merchant."""
    found: list[Hit] = []
    for row in finding.by_external_id(tx, wanted):
        found.append(_payout(row))
    number = whole(wanted)
    if number is not None:
        row = finding.by_number(tx, number)
        if row is not None:
            found.append(_payout(row))
    for row in listing.named(tx, wanted):
        found.append(
            (
                "event",
                row.merchant,
                f"{row.type} from {row.source}, {row.status}",
                f"/m/{row.merchant}/events/{row.inbox_id}",
            )
        )
    for row in referrals.transaction(tx, wanted):
        found.append(
            (
                "transaction",
                row.merchant,
                row.transaction_id,
                f"/m/{row.merchant}/events/{row.inbox_id}",
            )
        )
    for row in finding.payees(tx, wanted):
        found.append(
            (
                "payee",
                row.merchant,
                f"{row.user_id}, by {row.method}",
                payee_page(row.merchant, row.user_id),
            )
        )
    for row in loyalty.find_card(tx, wanted):
        found.append(
            (
                "card",
                row.merchant,
                f"{row.number} of {row.customer_id}",
                card_page(row.merchant, row.number),
            )
        )
    for row in referrals.code(tx, wanted):
        found.append(
            (
                "code",
                row.merchant,
                f"{row.code} of {row.user_id}",
                f"/m/{row.merchant}/referrals?{urlencode({'code': row.code})}",
            )
        )
    for key in referrals.user(tx, wanted):
        page = f"/m/{key}/referrals?{urlencode({'user': wanted})}"
        found.append(("referrals", key, f"of {wanted}", page))
    return found


def _payout(row: Any) -> Hit:
    return (
        "payout",
        row.merchant,
        f"{row.id} to {row.user_id}, {row.state}",
        f"/m/{row.merchant}/payouts/{row.id}",
    )


async def _draw(shown: Shown) -> None:
    visit = shown.visit
    kind = KINDS.get(visit.query.get("find", ""))
    if kind is not None:
        rows = await visit.read(merchants.listing)
        if len(rows) == 1:
            ui.navigate.to(f"/m/{rows[0].key}/{kind[1]}")
            return
        head(kind[0].capitalize())
        put(sheet(*(tag("p", link(row.name, f"/m/{row.key}/{kind[1]}")) for row in rows)))
        return
    wanted = visit.query.get("q", "").strip()[:255].replace("\0", "")
    found = await visit.read(lambda tx: hits(tx, wanted)) if wanted else []
    if len(found) == 1:
        ui.navigate.to(found[0][3])
        return
    head(f"Search: {wanted}" if wanted else "Search")
    put(
        sheet(
            table(
                [
                    Column("Kind", lambda h: h[0]),
                    Column("Merchant", lambda h: h[1]),
                    Column("What", lambda h: link(h[2], h[3])),
                ],
                found,
                empty="Nothing has this id. Ids are looked for whole, as the producer or the gateway wrote"
                " them: an event, user, card, code, payout, transaction, tr_… or acct_….",
                label="Found",
            ),
            flush=True,
        )
    )
