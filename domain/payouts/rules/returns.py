"""What a gateway lists as come back, held against our payouts: which of them have to be asked about.

A list of what came back is short where one call for each payout is not: of ten million payouts in a month one in
a hundred comes back, which is a thousand pages of the list, and a payout that was paid costs no call at all.

>>> sent = Ours("paid", stopped=False, attempt="succeeded", external_id="7")
>>> is_news(sent, "7", "refunded"), is_news(sent, "8", "refunded"), is_news(sent, "7", "sent")
(True, False, False)
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from domain.payouts.rules.progress import Becomes, Stage, follows

LOOK_BACK_DAYS: Final = 45
"""How old a transfer may be that is looked for, unless somebody says otherwise: most come back within days,
some several weeks after they were sent (Wise's guide to tracking transfers)."""

MOST_DAYS: Final = 365

EVERY_SECONDS: Final = 3_600
"""How often it is looked for by default."""

PAGES: Final = 200
"""Pages of one account that one round reads: 20,000 entries of Wise. The next round goes on from there."""

OVERLAP: Final = 10
"""Entries of a page that the next page shows again: one that leaves the list meanwhile moves up all behind it."""

STALE: Final = timedelta(days=2)
"""A look that nobody took further for so long is begun anew: the list has changed too much."""

ANSWERS_WITHIN: Final = timedelta(minutes=5)
"""How long a payout that was asked about is not asked about again, if no answer came."""


@dataclass(frozen=True, slots=True)
class Ours:
    """A payout as we know it, beside one of its attempts: that one's state, and the transfer it made."""

    state: str
    stopped: bool
    attempt: str
    external_id: str | None


def is_news(ours: Ours, external_id: str, stage: Stage) -> bool:
    """Whether a transfer that is listed so changes a payout. A stopped one is not stopped again.

    A transfer that is not the one which paid (its attempt failed) has paid nobody.
    """
    if ours.attempt != "succeeded" or ours.external_id != external_id:
        return False
    new = follows(ours.state, stage)
    return isinstance(new, Becomes) or (new is not None and not ours.stopped)


def made_since(now: datetime, days: int) -> date:
    """The first day (UTC) of a look: a day more than asked for, since a gateway's day may begin later.

    >>> made_since(datetime.fromisoformat("2026-06-15T12:00+00:00"), 10).isoformat()
    '2026-06-04'
    """
    return (now - timedelta(days=days + 1)).date()


def step(listed: int) -> int:
    """How many entries the next page lies behind a full one of ``listed`` entries.

    >>> step(100), step(5)
    (90, 1)
    """
    return max(1, listed - OVERLAP)
