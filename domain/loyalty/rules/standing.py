"""What a card is worth at a moment, whether or not somebody has booked what expired by then.

100 points of which 30 wait for their pending period, until the deadline that inactivity sets:

>>> from datetime import UTC, datetime
>>> spring, summer, winter = (datetime(2026, month, 1, tzinfo=UTC) for month in (4, 7, 12))
>>> lots = [Lot(70, 70, spring, available_at=spring), Lot(30, 30, spring, available_at=summer)]
>>> standing(100, lots, deadline=winter, at=spring)
Standing(balance=100, spendable=70, pending=30, held=0, next_expiry=datetime.datetime(2026, 12, 1, 0, 0, tzinfo=datetime.timezone.utc))

From the deadline on they are gone, though the sweep may book it later:

>>> standing(100, lots, deadline=winter, at=winter).balance
0
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from domain.loyalty.rules.lots import NEVER, Lot, spendable


@dataclass(frozen=True, slots=True)
class Standing:
    """Points of a card at a moment: ``balance`` is all that has not expired, less its debt;
    ``next_expiry`` when some of it will, if nothing happens until then.

    ``by_deadline`` is what expires when (None: never), soonest first. Its points and the held ones are the
    balance and the debt.
    """

    balance: int
    spendable: int
    pending: int
    held: int
    next_expiry: datetime | None
    by_deadline: Sequence[tuple[datetime | None, int]] = field(default=(), repr=False)


def standing(
    booked: int,
    lots: Sequence[Lot],
    deadline: datetime | None,
    at: datetime,
    *,
    expired_through: datetime | None = None,
    debt: int = 0,
) -> Standing:
    """The standing of a card at business time ``at``.

    ``booked`` is its balance as booked, ``lots`` its open ones with what is held of them at ``at``,
    ``deadline`` that of inactivity and ``expired_through`` the last one that passed. What is owed cannot
    be spent.
    """
    over = deadline is not None and deadline <= at
    left = (
        []
        if over
        else [
            lot
            for lot in lots
            if (lot.expires_at is None or at < lot.expires_at)
            and (expired_through is None or lot.occurred_at >= expired_through)
        ]
    )
    gone = sum(lot.free for lot in lots) - sum(lot.free for lot in left)
    ends = [lot.expires_at for lot in left if lot.expires_at is not None and lot.free]
    if left and deadline is not None:
        ends.append(deadline)
    return Standing(
        balance=booked - gone,
        spendable=max(spendable(left, at) - debt, 0),
        pending=sum(lot.free for lot in left if lot.available_at > at),
        held=sum(lot.held for lot in lots),
        next_expiry=min(ends, default=None),
        by_deadline=_by_deadline(left, deadline),
    )


def _by_deadline(
    lots: Iterable[Lot], deadline: datetime | None
) -> list[tuple[datetime | None, int]]:
    sums: dict[datetime, int] = {}
    for lot in lots:
        if lot.free:
            due = min(lot.expires_at or NEVER, deadline or NEVER)
            sums[due] = sums.get(due, 0) + lot.free
    return [(None if due == NEVER else due, sums[due]) for due in sorted(sums)]
