"""The expiry sweep. Expiry is a predicate that rules apply to every event; the sweep only books it.

One range is one transaction. ``fire_at`` is the cut-off, never the clock, so that a range that runs late
or twice books the same rows: those that the next event of each card would have booked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.db import Tx, planned_for_values
from domain.errors import Invalid
from domain.ledger import service as ledger
from domain.ledger.rules import points_account
from domain.loyalty.store import expiry as store
from domain.loyalty.store import holds


@dataclass(frozen=True, slots=True)
class ExpiryRange:
    """Card ids ``first_id`` to ``last_id`` (both included), of which ``cards`` are due."""

    first_id: int
    last_id: int
    cards: int


@dataclass(frozen=True, slots=True)
class ExpiryResult:
    """What a range did: cards expired and their points, cards of which nothing was due and whose timer was
    re-armed or stopped, cards passed over.

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
        raise Invalid("range_size", "give the number of cards of a range, 500 for instance")
    with planned_for_values(tx):
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
    cards = points = 0
    with planned_for_values(tx):
        locked = store.lock_due(tx, merchant_id, first_id, last_id, fire_at)
        ids = [card_id for of_program in locked.values() for card_id in of_program]
        if ids:
            accounts = _accounts(tx, merchant_id, locked)
            holds.time_out(tx, ids, fire_at)
            done = store.expire(tx, ids, fire_at, accounts)
            assert done.posted == done.booked, "each row of the history has its transfer"
            cards, points = done.cards, done.points
        skipped = store.left(tx, merchant_id, first_id, last_id, fire_at)
    return ExpiryResult(cards, points, len(ids) - cards, skipped)


def _accounts(
    tx: Tx, merchant_id: int, programs: Iterable[tuple[int, str]]
) -> dict[int, tuple[int, int, str]]:
    """By program the accounts that an expiry debits and credits, made where they are missing, and their currency."""
    pairs = {
        program_id: (
            points_account(merchant_id, "points_liability", key),
            points_account(merchant_id, "points_breakage", key),
        )
        for program_id, key in programs
    }
    ids = ledger.account_ids(tx, {account for pair in pairs.values() for account in pair})
    return {
        program_id: (ids[debit], ids[credit], debit.currency)
        for program_id, (debit, credit) in pairs.items()
    }


def dry_run(tx: Tx, merchant_id: int, as_of: datetime) -> list[WouldExpire]:
    """What a sweep as of ``as_of`` would expire, per program; changes nothing."""
    with planned_for_values(tx):
        return [
            WouldExpire(row.key, row.cards, row.points)
            for row in store.would_expire(tx, merchant_id, as_of)
        ]
