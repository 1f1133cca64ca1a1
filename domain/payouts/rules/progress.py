"""What follows from how money stands that a gateway delivers in stages.

>>> follows("in_transit", "sent"), follows("paid", "moving"), follows("paid", "refunded")
(Becomes(state='paid'), None, Becomes(state='reversed'))
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

Stage = Literal["unpaid", "void", "moving", "sent", "returned", "refunded", "disputed"]
"""Where the money is: not paid for yet; never to be paid for; on its way; sent to the payee's bank; back at
the gateway; back on the merchant's balance; taken back from the gateway by somebody."""

PAID_FOR: Final[frozenset[Stage]] = frozenset({"moving", "sent"})
"""Stages in which the payee has the money or will get it."""

DELIVER_LATER: Final = frozenset({"wise"})
"""Methods whose gateway has the money before the payee has it, and says how it stands."""

ON_ITS_WAY: Final = ("in_transit", "paid", "returned")
"""States of a payout in which the gateway's word can change something."""

WATCHED: Final = timedelta(days=10)
"""A paid payout that was handed over so long ago is asked about for the last time. Most of what comes back
does so within days, and all of it is found in the gateway's list (``rules.returns``)."""

DAILY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Becomes:
    """The state that a payout gets."""

    state: str


@dataclass(frozen=True, slots=True)
class Stops:
    """A person has to look: what the gateway says cannot be."""

    reason: str


def follows(state: str, stage: Stage) -> Becomes | Stops | None:
    """What becomes of a payout in ``state`` whose money is in ``stage``; None: nothing new.

    Nothing goes back: money that was sent may come back, and money that came back is not sent again by
    itself. The answer must be newer than the one that made ``state``.
    """
    if state not in ON_ITS_WAY:
        return None
    if stage == "void":
        return Stops("the gateway says now that it was never paid for")
    if stage == "disputed":
        return Stops("somebody took the money back from the gateway")
    if stage == "refunded":
        return Becomes("reversed")
    if stage == "returned":
        return None if state == "returned" else Becomes("returned")
    if stage == "sent" and state == "in_transit":
        return Becomes("paid")
    if stage == "sent" and state == "returned":
        return Stops("it came back to the gateway, which then sent it again: its payee may have it")
    return None


def next_look(state: str, age: timedelta) -> timedelta | None:
    """When a payout is asked about again that was handed over ``age`` ago; None: as the sweep's own
    backoff says, or never where it is ``done_looking``.

    A paid one is asked about 1, 3, 9 and 27 days after it was handed over: four calls in all.

    >>> [next_look("paid", timedelta(days=days)) for days in (1, 3, 9, 27)]
    [datetime.timedelta(days=2), datetime.timedelta(days=6), datetime.timedelta(days=18), None]
    """
    return max(DAILY, 2 * age) if state == "paid" and age < WATCHED else None


def done_looking(state: str, age: timedelta) -> bool:
    """Whether nothing more is expected."""
    return state not in ON_ITS_WAY or (state == "paid" and age >= WATCHED)
