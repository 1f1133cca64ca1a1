"""What is done after the fact: rewards are held whose two sides turn out to share a destination, and what
was counted for limits is forgotten when nothing needs it any more."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from domain.db import Tx
from domain.earnings import service as earnings
from domain.earnings.rules import EarningHold
from domain.referrals import fraud_store, hold_store
from domain.referrals.loading import SOURCE
from domain.referrals.rules.holds import COUNTS_KEPT, SHARED_DESTINATION
from domain.referrals.store import dumps

TRACKINGS: Final = 200
"""Trackings that one transaction looks at."""
COUNTS: Final = 5_000
"""Spans that one transaction forgets."""


def hold_shared(
    tx: Tx, merchant_id: int, user: str, others: Sequence[str], at: datetime, after: int
) -> tuple[int, int | None]:
    """Hold what is not yet paid of conversions between ``user``, whose destination changed, and ``others``,
    who are paid there too. ``at`` is business time.

    Looks at up to TRACKINGS of them above id ``after``; returns how many it held, and where to go on (None:
    that were all). Where runs have claimed the rewards of both sides they are left to those; where of one
    side only, both are held, so that a payout that was not sent yet is canceled instead. And what was held for this once, whatever a
    person decided, is not held again: repeating it is safe. Nothing is released.
    """
    found = hold_store.between(tx, merchant_id, user, others, after=after, limit=TRACKINGS)
    if not found:
        return 0, None
    hold_store.lock_correlations(tx, merchant_id, [(t.id, t.transaction_id) for t in found])
    ids = [t.id for t in found]
    # Looked up after the lock: another look, or the events of these transactions, may have been at work.
    before = hold_store.held_for(tx, ids, SHARED_DESTINATION)
    rewards = earnings.lock_unclaimed(tx, SOURCE, [id for id in ids if id not in before])
    held = [t for t in found if t.id in rewards]
    if held:
        told = {"found": "after a destination changed", "at": at.isoformat()}
        rows = [
            (
                merchant_id,
                t.id,
                t.inbox_id,
                SHARED_DESTINATION,
                "",
                dumps({"referrer": t.referrer_user_id, "referred": t.referred_user_id} | told),
                at,
                None,
                None,
            )
            for t in held
        ]
        hold_store.insert(tx, rows)
        # The oldest reason stays the one that is told.
        reasons = hold_store.open_reasons(tx, [t.id for t in held])
        holds = [EarningHold(id, *reasons[t.id]) for t in held for id in rewards[t.id]]
        earnings.record(tx, [], holds=holds)
    return len(held), ids[-1]


def forget_counts(tx: Tx, now: datetime) -> int:
    """Forget up to COUNTS of the oldest counts of hours and days that no conversion needs at business time
    ``now``; returns how many."""
    return fraud_store.forget_counts(tx, now - COUNTS_KEPT, COUNTS)
