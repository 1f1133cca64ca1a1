"""What came back after it was paid, and whose notice was lost: found in what the gateway lists as come back.

Each account has a look of its own, page by page, each page in a transaction: killed at any page, the next one
goes on from there. A page moves no money. It asks for the payouts that it shows otherwise than we do; they are
asked about one by one, and what the gateway says then is applied by the road that a notice takes.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from domain.db import Tx
from domain.outbox import service as outbox
from domain.outbox.rules import OutboxMessage
from domain.payouts.gateway import ReturnsPage
from domain.payouts.rules.attempts import re_emit_wait
from domain.payouts.rules.returns import (
    ANSWERS_WITHIN,
    STALE,
    Ours,
    is_news,
    made_since,
    step,
)
from domain.payouts.store import breakers as breaker_store
from domain.payouts.store import returns as store
from domain.payouts.store import sweeping

BREAKER: Final = "the breaker is open: the gateway is not asked until it answers again"


@dataclass(frozen=True, slots=True)
class Look:
    """A look that is under way: at what was made since ``made_from``, behind ``passed`` entries."""

    look_id: int
    merchant_id: int
    method: str
    account: str
    made_from: date
    passed: int


@dataclass(frozen=True, slots=True)
class Worked:
    """What was made of a page: payouts that are asked about, and what is left to look at (None: nothing)."""

    asked: int
    left: Look | None


def waits_for(tx: Tx, merchant_id: int, method: str) -> str | None:
    """Why a gateway is not to be asked now; None if it may be. A person's stop keeps nobody from looking."""
    return BREAKER if breaker_store.is_open(tx, merchant_id, method) else None


def take_up_look(
    tx: Tx, merchant_id: int, method: str, account: str, *, days: int, anew: bool = False
) -> Look:
    """Go on with the look that was interrupted, or begin one of ``days``; ``anew``: in any case."""
    row = store.lock(tx, merchant_id, method, account)
    old = row.looked_at or row.began_at
    if row.made_from is None or anew or row.real_now - old > STALE:
        store.begin(tx, row.id, made_since(row.real_now, days))
        row = store.relock(tx, row.id)
    return Look(row.id, merchant_id, method, account, row.made_from, row.passed)


def work_through(tx: Tx, look: Look, page: ReturnsPage) -> Worked:
    """Ask for the payouts of a page that it shows otherwise than we do, and move on.

    A look that another worker took further meanwhile is left to that one.
    """
    row = store.relock(tx, look.look_id)
    if (row.made_from, row.passed) != (look.made_from, look.passed):
        return Worked(0, None)
    if page.answer != "told":
        store.gave_nothing(tx, look.look_id, page.why or page.answer)
        return Worked(0, None)
    asked = _ask_about(tx, look, page)
    if not page.more:
        store.end(tx, look.look_id, found=asked)
        return Worked(asked, None)
    passed = look.passed + step(page.listed)
    store.go_on(tx, look.look_id, passed=passed, found=asked)
    return Worked(asked, replace(look, passed=passed))


def _ask_about(tx: Tx, look: Look, page: ReturnsPage) -> int:
    seen = {one.reference: one for one in page.seen}
    rows = store.named(tx, look.merchant_id, look.account, list(seen), ANSWERS_WITHIN)
    news = [
        row
        for row in rows
        if not row.asked
        and is_news(
            Ours(row.state, row.stopped, row.attempt, row.external_id),
            seen[row.reference].external_id,
            seen[row.reference].stage,
        )
    ]
    # Should the message be lost, the sweep asks again.
    sweeping.emitted(tx, [(row.payout_id, re_emit_wait(row.emit_count)) for row in news])
    outbox.emit(
        tx,
        [
            OutboxMessage(
                "payouts", "payouts.progress", {"payout_id": row.payout_id}, look.merchant_id
            )
            for row in news
        ],
    )
    return len(news)
