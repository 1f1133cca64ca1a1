"""Missed webhooks, found in the events that a gateway keeps, and put where a webhook would have put them.

Each account has a poll of its own, which goes from the newest event back to where the last one ended, page by
page, each page in a transaction: killed at any page, the next one goes on from there. A page that two workers
keep is kept once, for an event has one row, whichever road it came by.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from domain.db import Tx
from domain.errors import Invalid
from domain.payouts import webhook_store, webhooks
from domain.payouts.errors import WrongMode
from domain.payouts.gateway import EventsPage, PayeeCheck, SeenEvent
from domain.payouts.rules.notices import wrong_mode
from domain.payouts.rules.polling import (
    KEPT,
    MISSED_AFTER,
    begins_at,
    lost_before,
    too_old,
)
from domain.payouts.service.notices import account_told
from domain.payouts.store import polling as store
from domain.payouts.webhooks import GatewayNotice

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Poll:
    """A reading that is under way. ``from_at`` is of the gateway's clock, ``asked_at`` and ``lost_before`` of
    ours: events before the latter may be lost for good. ``account`` None: of the account that pays."""

    poll_id: int
    merchant_id: int
    method: str
    account: str | None
    from_at: datetime
    page_after: str | None
    asked_at: datetime
    lost_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What was made of a page: events that it brought, those of them that count as missed, and what is left
    to read (None: nothing)."""

    stored: int
    missed: int
    left: Poll | None


def take_up_poll(
    tx: Tx,
    merchant_id: int,
    method: str,
    platform_account: str,
    account: str | None,
    *,
    first: timedelta,
    again: bool = False,
) -> Poll:
    """Go on with the reading of an account that was interrupted, or begin one where the last one ended.

    ``first``: how far back the first one looks; with ``again``, at least so far back this one looks too,
    whatever was read. Nothing between what was read and where this one begins is passed over.
    """
    row = store.lock(tx, merchant_id, method, platform_account, account or "", first)
    lost = None
    if row.from_at is None or again or too_old(row.from_at, row.real_now):
        wanted = row.real_now - first
        begins = begins_at(read_until=row.read_until, reading_from=row.from_at, now=row.real_now)
        if row.complete_at is None and row.from_at is None:
            begins = wanted
        elif again:
            begins = max(min(begins, wanted), row.real_now - KEPT)
        if row.complete_at is not None:
            lost = lost_before(last=row.complete_at, now=row.real_now)
        elif row.from_at is not None and too_old(row.from_at, row.real_now):
            lost = lost_before(last=row.from_at, now=row.real_now)
        store.begin(tx, row.id, begins)
        row = store.relock(tx, row.id)
    return Poll(
        row.id, merchant_id, method, account, row.from_at, row.page_after, row.real_now, lost
    )


def keep_page(tx: Tx, poll: Poll, page: EventsPage) -> Kept:
    """Keep what a page brings and where to go on. Raises WrongMode, and then nothing may be committed.

    A reading that another worker took further meanwhile is left to that one.
    """
    row = store.relock(tx, poll.poll_id)
    if row.from_at != poll.from_at or row.page_after != poll.page_after:
        return Kept(0, 0, None)
    if page.answer == "gone" and poll.page_after is not None:
        # Thirty days went by between two pages: from the newest one again.
        store.begin(
            tx, row.id, begins_at(read_until=row.from_at, reading_from=None, now=row.real_now)
        )
        return Kept(0, 0, None)
    if page.answer != "told":
        store.gave_nothing(tx, row.id, page.why or page.answer)
        return Kept(0, 0, None)
    mode = store.mode_of(tx, poll.merchant_id)
    new = _new_ones(tx, poll, page, mode)
    stored = [event for event in reversed(new) if _store(tx, poll, event, mode)]
    missed = sum(event.created <= row.real_now - MISSED_AFTER for event in stored)
    newest = page.events[0].created if page.events else None
    if not page.more or not page.events:
        store.end(tx, row.id, newest_at=newest, stored=len(stored), missed=missed)
        return Kept(len(stored), missed, None)
    last = page.events[-1].event_id
    store.go_on(tx, row.id, newest_at=newest, page_after=last, stored=len(stored), missed=missed)
    left = replace(poll, page_after=last, asked_at=row.real_now)
    return Kept(len(stored), missed, left)


def account_is_gone(tx: Tx, poll: Poll, check: PayeeCheck) -> int:
    """The gateway does not show us an account's events, and ``check`` is what it says of the account: an
    account that left us cannot tell that by an event. Returns for how many payees it is news."""
    assert poll.account is not None, "a connected account"
    return account_told(tx, poll.merchant_id, poll.method, poll.account, check, poll.asked_at)


def accounts_to_poll(
    tx: Tx, merchant_id: int, method: str, platform_account: str, limit: int
) -> list[str]:
    """Connected accounts whose events are read next, those first that were not for longest."""
    return store.accounts(tx, merchant_id, method, platform_account, limit)


def _new_ones(tx: Tx, poll: Poll, page: EventsPage, mode: str) -> list[SeenEvent]:
    for event in page.events:
        if wrong_mode(mode, live=event.live) is not None:
            raise WrongMode(poll.method, event.event_id, mode)
    known = webhook_store.known(
        tx,
        poll.merchant_id,
        poll.method,
        [event.event_id for event in page.events],
        live=mode == "live",
    )
    return [event for event in page.events if event.event_id not in known]


def _store(tx: Tx, poll: Poll, event: SeenEvent, mode: str) -> bool:
    notice = GatewayNotice(
        event.event_id, event.type, event.account or poll.account, event.payload, event.live
    )
    try:
        with tx.begin_nested():
            kept = webhooks.receive(
                tx, poll.merchant_id, poll.method, notice, mode=mode, brought_by="poll"
            )
    except Invalid as error:
        # A webhook with it would have been refused too; the others are not held up by it.
        log.warning("event.unreadable", event_id=event.event_id, error=str(error))
        return False
    return kept is not None
