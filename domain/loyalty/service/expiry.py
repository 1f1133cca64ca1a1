"""The expiry sweep. Expiry is a predicate that rules apply to every event; the sweep only books it.

One range is one transaction. ``fire_at`` is the cut-off, never the clock, so that a range that runs late
or twice books the same rows: those that the next event of each card would have booked.
"""

from dataclasses import dataclass
from datetime import datetime

from domain.db import Tx
from domain.errors import Invalid
from domain.ledger import service as ledger
from domain.ledger.rules import Transfer, points_account
from domain.loyalty.service.apply import SOURCE_KIND
from domain.loyalty.store import expiry as store


@dataclass(frozen=True, slots=True)
class ExpiryRange:
    """Card ids ``first_id`` to ``last_id`` (both included), of which ``cards`` are due."""

    first_id: int
    last_id: int
    cards: int


@dataclass(frozen=True, slots=True)
class ExpiryResult:
    """What a range did: cards expired and their points, timers re-armed or stopped, cards passed over.

    Run the range again while ``skipped`` is not 0: somebody held those cards.
    """

    cards: int
    points: int
    rearmed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class WouldExpire:
    """Cards of a program, and their points, that a sweep would expire."""

    program: str
    cards: int
    points: int


def plan_expiry(tx: Tx, merchant_id: int, as_of: datetime, range_size: int) -> list[ExpiryRange]:
    """Cut the cards whose timer is due as of ``as_of`` into ranges of ``range_size`` due cards.

    Raises Invalid for a range without cards.
    """
    if range_size < 1:
        raise Invalid("range_size", "give the number of cards of a range, 2000 for instance")
    store.plan_for_values(tx)
    return [
        ExpiryRange(row.first_id, row.last_id, row.cards)
        for row in store.ranges(tx, merchant_id, as_of, range_size)
    ]


def expire_range(
    tx: Tx, merchant_id: int, first_id: int, last_id: int, fire_at: datetime
) -> ExpiryResult:
    """Expire what was due by ``fire_at`` on the cards of a range, and post it to the ledger.

    Passes over cards that another transaction holds and tells how many (see ExpiryResult). Running it
    again books nothing twice. Holds the range's cards until the transaction ends: commit at once.
    """
    store.plan_for_values(tx)
    locked = store.lock_due(tx, merchant_id, first_id, last_id, fire_at)
    booked = store.expire(tx, locked, fire_at) if locked else []
    rearmed = store.rearm(tx, locked, fire_at) if locked else 0
    skipped = store.left(tx, merchant_id, first_id, last_id, fire_at)
    ledger.post(
        tx,
        [
            Transfer(
                points_account(merchant_id, "points_liability", row.key),
                points_account(merchant_id, "points_breakage", row.key),
                row.points,
                "points_expired",
                SOURCE_KIND,
                row.id,
                row.transaction_at,
            )
            for row in booked
        ],
    )
    cards = len({row.card_id for row in booked})
    return ExpiryResult(cards, sum(row.points for row in booked), rearmed, skipped)


def dry_run(tx: Tx, merchant_id: int, as_of: datetime) -> list[WouldExpire]:
    """What a sweep as of ``as_of`` would expire, per program; changes nothing."""
    store.plan_for_values(tx)
    return [
        WouldExpire(row.key, row.cards, row.points)
        for row in store.would_expire(tx, merchant_id, as_of)
    ]
