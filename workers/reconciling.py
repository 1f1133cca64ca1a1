"""Reconciliation: reads a gateway's books page by page, outside of any transaction, then compares."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from domain.db import transaction
from domain.payouts.books import KeepsBooks
from domain.payouts.errors import NoBooks
from domain.payouts.service import reconciling
from domain.payouts.service.reconciling import Window
from workers.payouts import Runtime

LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)


def reconcile(
    runtime: Runtime,
    merchant_id: int,
    method: str = "stripe",
    *,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    clock_may_move: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Reconcile a merchant's payouts with its gateway's books; returns the report.

    One that was interrupted is finished first: killed at any page, it goes on from there. Raises NoBooks
    for a method without books, and a DomainError if the gateway does not answer: run it again then.
    """
    gateway = runtime.gateways(merchant_id, method)
    if not isinstance(gateway, KeepsBooks):
        raise NoBooks(method)
    newest = None
    if clock_may_move:
        first = gateway.books(created_from=reconciling.BEGINNING, created_before=LATEST, after=None)
        newest = first.lines[0].created if first.lines else datetime.now(UTC) - timedelta(hours=1)
    with transaction(runtime.engine) as tx:
        run = reconciling.take_up(
            tx, merchant_id, method, gateway.account, Window(from_at, to_at, newest)
        )
    while run.state == "running" and not run.read_all:
        page = gateway.books(created_from=run.from_at, created_before=run.to_at, after=run.cursor)
        with transaction(runtime.engine) as tx:
            run = reconciling.keep_page(tx, run, run.cursor, page)
        if on_progress is not None:
            on_progress(run.transactions)
    with transaction(runtime.engine) as tx:
        return reconciling.compare(tx, run.id)
