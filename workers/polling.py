"""Polling: reads a gateway's events page by page, outside of any transaction, and keeps what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

import structlog

from domain.db import transaction
from domain.errors import Invalid
from domain.payouts.gateway import Gateway, TellsEvents
from domain.payouts.rules.notices import STRIPE_TYPES
from domain.payouts.rules.polling import ACCOUNTS, FIRST_DAYS, KEPT, PAGES
from domain.payouts.service import polling
from workers.payouts import Runtime

log = structlog.get_logger(__name__)

SHOWN: Final = 20
"""Accounts that a report names: of which events may be lost, or which gave nothing."""


class PollableGateway(Gateway, TellsEvents, Protocol):
    """A gateway that keeps its events."""


@dataclass
class PollReport:
    """What a round did.

    ``stored``: events that it brought; ``missed``: those of them that a webhook should have brought long
    before. ``unfinished``: accounts of which the next round reads on; ``silent``: accounts that could not be
    asked about, and why; ``refused``: connected accounts that are not shown to us; ``lost``: accounts of which
    events before a time may be lost for good.
    """

    accounts: int = 0
    pages: int = 0
    stored: int = 0
    missed: int = 0
    unfinished: int = 0
    silent: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)


def poll(
    runtime: Runtime,
    merchant_id: int,
    method: str = "stripe",
    *,
    days: int | None = None,
    pages: int = PAGES,
    accounts: int = ACCOUNTS,
    on_progress: Callable[[int], None] | None = None,
) -> PollReport | None:
    """Look through the events of a merchant's account, and of some of its connected accounts, for those that
    no webhook brought; None if the gateway keeps none.

    ``days``: look so far back (1 to 30), whatever was read. Repeating it is always safe. Raises Invalid, and
    WrongMode if the account is of another mode than the merchant.
    """
    if days is not None and not 1 <= days <= KEPT.days:
        raise Invalid("days", f"is 1 to {KEPT.days}: older events are not kept")
    gateway = runtime.gateways(merchant_id, method)
    if not isinstance(gateway, TellsEvents):
        return None
    with transaction(runtime.engine) as tx:
        connected = polling.accounts_to_poll(tx, merchant_id, method, gateway.account, accounts)
    report = PollReport()
    for account in (None, *connected):
        with transaction(runtime.engine) as tx:
            reading = polling.take_up_poll(
                tx,
                merchant_id,
                method,
                gateway.account,
                account,
                first=timedelta(days=days or FIRST_DAYS),
                again=days is not None,
            )
        answered = _read(runtime, gateway, reading, report, pages)
        report.accounts += 1
        if not answered:
            # Each of the others could take a whole time-out; the next round asks about them.
            break
        if on_progress is not None:
            on_progress(report.accounts)
    return report


def _read(
    runtime: Runtime,
    gateway: PollableGateway,
    reading: polling.Poll,
    report: PollReport,
    pages: int,
) -> bool:
    """Read pages of one account; False if the gateway could not be asked."""
    name = reading.account or "own"
    if reading.lost_before is not None:
        before = f"{reading.lost_before:%Y-%m-%d %H:%M} UTC"
        _note(report.lost, name, before)
        log.error("events.lost", account=name, before=before)
    left: polling.Poll | None = reading
    for _ in range(pages):
        if left is None:
            return True
        page = gateway.events.page(
            types=STRIPE_TYPES, account=left.account, since=left.from_at, after=left.page_after
        )
        with transaction(runtime.engine) as tx:
            kept = polling.keep_page(tx, left, page)
        report.pages += 1
        report.stored += kept.stored
        report.missed += kept.missed
        if page.answer == "refused" and left.account is not None:
            _note(report.refused, name, page.why)
            _ask_about(runtime, gateway, left, left.account)
        elif page.answer in ("silent", "refused"):
            _note(report.silent, name, page.why)
            return False
        left = kept.left
    report.unfinished += left is not None
    return True


def _note(told: dict[str, str], name: str, why: str) -> None:
    if len(told) < SHOWN:
        told[name] = why


def _ask_about(
    runtime: Runtime, gateway: PollableGateway, left: polling.Poll, account: str
) -> None:
    check = gateway.check_payee(account)
    if check is not None:
        with transaction(runtime.engine) as tx:
            polling.account_is_gone(tx, left, check)
