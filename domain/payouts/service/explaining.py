"""Everything about one payout on one page: what is in it, what was tried, and why it is where it is."""

from dataclasses import dataclass
from typing import Any, Final

from domain import clock
from domain.db import Tx
from domain.payouts.errors import NoSuchPayout
from domain.payouts.rules.explaining import LastAttempt, LastReversal, Situation, explain
from domain.payouts.store import looking, reversing

MEMBERS_SHOWN: Final = 100
"""Earnings of a payout that one page lists, unless another number is asked for."""

REVERSALS_SHOWN: Final = 100
"""The newest requests to take a payout back that its page lists."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A payout as it is stored, its run, a page of its earnings, its attempts, what was asked to be taken
    back of it, and why.

    ``next_member``: the earning after which the next page begins; None on the last one.
    """

    payout: Any
    run: Any
    members: list[Any]
    next_member: int | None
    attempts: list[Any]
    why: list[str]
    reversals: list[Any]


def explain_payout(
    tx: Tx,
    merchant_id: int,
    merchant_key: str,
    payout_id: int,
    *,
    after_member: int | None = None,
    members: int = MEMBERS_SHOWN,
) -> Explained:
    """A merchant's payout with all that explains it. Raises NoSuchPayout, also for another merchant's."""
    payout = looking.payout(tx, merchant_id, payout_id)
    if payout is None:
        raise NoSuchPayout("payout", payout_id)
    run = looking.run(tx, merchant_id, payout.run_id)
    attempts = looking.attempts(tx, payout_id)
    # One more than asked for tells whether there is another page.
    found = looking.members(tx, payout_id, after=after_member, limit=members + 1)
    newest = attempts[-1] if attempts else None
    reversals = reversing.listed(tx, payout_id, REVERSALS_SHOWN)
    asked = reversals[-1] if reversals else None
    situation = Situation(
        payout_id=payout.id,
        merchant=merchant_key,
        state=payout.status,
        amount=payout.amount,
        currency=payout.currency,
        members=payout.members,
        method=payout.method,
        run_id=run.id,
        run_state=run.state,
        as_of=run.as_of,
        now=clock.real_now(tx),
        attempt=None
        if newest is None
        else LastAttempt(
            newest.n,
            newest.state,
            newest.sent_at,
            newest.lease_until,
            newest.abandon_proposed_by,
            newest.leg,
        ),
        stops=looking.stops(tx, merchant_id, payout.method),
        frozen=payout.frozen_reason,
        parked=payout.parked_reason,
        next_try_at=payout.next_try_at,
        error_code=payout.error_code,
        error_message=payout.error_message,
        external_id=payout.external_transaction_id,
        processed_at=payout.processed_at,
        reversed_amount=payout.reversed_amount,
        reversal=None
        if asked is None
        else LastReversal(
            asked.state,
            asked.amount,
            asked.reason,
            asked.asked_by,
            asked.error_code,
            asked.error_message,
            asked.waits_for,
        ),
    )
    return Explained(
        payout,
        run,
        found[:members],
        found[members - 1].id if len(found) > members else None,
        attempts,
        explain(situation),
        reversals,
    )
