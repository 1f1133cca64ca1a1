"""Looking for what came back: reads a gateway's list of it page by page, outside of any transaction.

A page takes a turn of the account that the payouts are sent from, and nothing is asked while its breaker is open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from domain.db import transaction
from domain.errors import Invalid
from domain.payouts.gateway import TellsReturns
from domain.payouts.rules.returns import LOOK_BACK_DAYS, MOST_DAYS, PAGES
from domain.payouts.service import returns as service
from workers.pacing import wait_for_turn
from workers.payouts import Runtime

log = structlog.get_logger(__name__)


@dataclass
class ReturnsReport:
    """What a round did. ``listed``: entries that it read; ``asked``: payouts that it asked about, for they
    came back and we did not know. ``unfinished``: the next round reads on; ``waits``: why, if the gateway
    could not be asked."""

    pages: int = 0
    listed: int = 0
    asked: int = 0
    unfinished: bool = False
    waits: str | None = None


def look_for_returns(
    runtime: Runtime,
    merchant_id: int,
    method: str = "wise",
    *,
    days: int = LOOK_BACK_DAYS,
    pages: int = PAGES,
    anew: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> ReturnsReport | None:
    """Look through what a merchant's gateway lists as come back, and ask about each payout of which we did not
    know; None if the gateway has no such list.

    ``days``: how old the transfers may be; a look that was interrupted goes on with its own, unless ``anew``.
    Repeating it is always safe. Raises Invalid.
    """
    if not 1 <= days <= MOST_DAYS:
        raise Invalid("days", f"is 1 to {MOST_DAYS}")
    gateway = runtime.gateways(merchant_id, method)
    if not isinstance(gateway, TellsReturns):
        return None
    report = ReturnsReport()
    with transaction(runtime.engine) as tx:
        report.waits = service.waits_for(tx, merchant_id, method)
        if report.waits is not None:
            return report
        left: service.Look | None = service.take_up_look(
            tx, merchant_id, method, gateway.account, days=days, anew=anew
        )
    while left is not None and report.pages < pages:
        later = wait_for_turn(runtime.pace, gateway)
        if later is not None:
            report.waits = f"its account is busy sending for {later.total_seconds():.0f} s"
            break
        page = gateway.returns.page(made_from=left.made_from, passed=left.passed)
        with transaction(runtime.engine) as tx:
            worked = service.work_through(tx, left, page)
        if page.answer != "told":
            report.waits = page.why or page.answer
            break
        report.pages, report.listed = report.pages + 1, report.listed + page.listed
        report.asked += worked.asked
        left = worked.left
        if on_progress is not None:
            on_progress(report.listed)
    report.unfinished = left is not None
    if report.asked:
        log.warning("payouts.came_back", merchant_id=merchant_id, asked=report.asked)
    return report
