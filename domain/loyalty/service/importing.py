"""Take over cards with their balances from another system, once each, with deadlines that are promised there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain import clock
from domain.db import Tx, advisory_lock, correlation_key
from domain.ledger import service as ledger
from domain.ledger.rules import Transfer, points_account
from domain.loyalty.rules.importing import PastCard, TakenOver, program_of, take_over
from domain.loyalty.rules.programs import Refusal
from domain.loyalty.service.transfers import SOURCE_KIND
from domain.loyalty.store import cards as card_store
from domain.loyalty.store import importing as store
from domain.loyalty.store import programs as program_store
from domain.loyalty.store.cards import NewCard

TRANSFER_KIND: Final = "points_imported"
"""What the ledger calls the movement that brings an imported card's points."""


@dataclass(frozen=True, slots=True)
class ImportedCard:
    """What became of a card of a file: new, known, or rejected with a reason. ``points`` it brought."""

    status: str
    points: int = 0
    reason: str = ""
    sentence: str = ""


def import_cards(
    tx: Tx, merchant_id: int, cards: Sequence[PastCard], *, dry_run: bool = False
) -> list[ImportedCard]:
    """Take over ``cards``; one outcome for each, in order.

    A card that was imported under its number before is known if the file says the same of it, and refused
    (``conflict``) if it says something else: what was imported stands, whatever happened to the card since.
    A number or a customer that has a card here is refused; nothing is ever overwritten. What is refused leaves
    nothing behind. Imports of a merchant wait for each other. A dry run writes nothing but remembers in ``tx``
    what it would have taken.
    """
    now = clock.business_now(tx)
    if not dry_run:
        advisory_lock(tx, [correlation_key(merchant_id, "cards:import")])
        store.share_programs(tx, merchant_id)
    programs = program_store.of_merchants(tx, [merchant_id])
    outcomes: list[ImportedCard | None] = [None] * len(cards)
    fresh: dict[int, TakenOver] = {}
    looked_up = _looked_up(tx, merchant_id, cards, dry_run=dry_run)
    for position, past in enumerate(cards):
        found = looked_up.find(past)
        if found is None:
            program = program_of(programs, past.program)
            taken = program if isinstance(program, Refusal) else take_over(past, program, now)
            if not isinstance(taken, Refusal):
                fresh[position] = taken
                looked_up.add(past)
                continue
            found = ImportedCard("rejected", 0, taken.reason, taken.sentence)
        outcomes[position] = found
    if dry_run:
        store.add_tried(tx, list(fresh.values()))
        added = set(fresh)
    else:
        added = _add(tx, merchant_id, fresh, now)
    for position, taken_over in fresh.items():
        outcomes[position] = (
            ImportedCard("new", taken_over.points)
            if position in added
            else _lost(tx, merchant_id, taken_over.past)
        )
    return [one for one in outcomes if one is not None]


@dataclass(slots=True)
class _Known:
    """What is there already: what was said of imported numbers, and who has which card."""

    said: dict[str, bytes]
    numbers: set[str]
    customers: set[str]

    def find(self, past: PastCard) -> ImportedCard | None:
        """What becomes of a card that is there, else None."""
        before = self.said.get(past.number)
        if before is not None:
            if before == past.content_hash:
                return ImportedCard("known")
            return ImportedCard(
                "rejected",
                0,
                "conflict",
                f"card {past.number} was imported before with other content, which stands; all lines of a"
                " card have to stand together",
            )
        if past.number in self.numbers:
            return _refused("card_exists", f"there is already a card {past.number}")
        if past.customer_id in self.customers:
            return _refused("customer_has_card", f"customer {past.customer_id} already has a card")
        return None

    def add(self, past: PastCard) -> None:
        """Note a card that is taken."""
        self.said[past.number] = past.content_hash
        self.customers.add(past.customer_id)


def _looked_up(tx: Tx, merchant_id: int, cards: Sequence[PastCard], *, dry_run: bool) -> _Known:
    numbers = [past.number for past in cards]
    customers = [past.customer_id for past in cards]
    said = store.imported(tx, merchant_id, numbers)
    wanted = [(merchant_id, past.number, past.customer_id) for past in cards]
    by_number, by_customer = card_store.taken(tx, wanted)
    known = _Known(said, {n for _, n in by_number}, {c for _, c in by_customer})
    if dry_run:
        for row in store.tried(tx, numbers, customers):
            known.said[row.number] = bytes(row.content_hash)
            known.customers.add(row.customer_id)
    return known


def _add(tx: Tx, merchant_id: int, fresh: dict[int, TakenOver], now: datetime) -> set[int]:
    """Add the cards; the positions of those that no enrolment beside this one was faster with."""
    if not fresh:
        return set()
    ids = dict(zip(fresh, card_store.new_ids(tx, len(fresh)), strict=True))
    there = card_store.add(
        tx,
        [
            (
                ids[position],
                taken.past.number,
                NewCard(
                    merchant_id,
                    taken.program,
                    taken.past.number,
                    taken.past.customer_id,
                    taken.last_activity_at,
                ),
            )
            for position, taken in fresh.items()
        ],
    )
    added = [(ids[position], taken) for position, taken in fresh.items() if ids[position] in there]
    if not added:
        return set()
    rows = store.write(tx, added, now)
    ledger.post(
        tx,
        [
            Transfer(
                points_account(merchant_id, "points_issued", taken.program.key),
                points_account(merchant_id, "points_liability", taken.program.key),
                taken.points,
                TRANSFER_KIND,
                SOURCE_KIND,
                row_id,
                now,
            )
            for row_id, (_, taken) in zip(rows, added, strict=True)
            if taken.points
        ],
    )
    return {position for position in fresh if ids[position] in there}


def _lost(tx: Tx, merchant_id: int, past: PastCard) -> ImportedCard:
    """Why a card could not be added: an enrolment beside the import has taken its number or customer."""
    numbers, _ = card_store.taken(tx, [(merchant_id, past.number, past.customer_id)])
    if (merchant_id, past.number) in numbers:
        return _refused("card_exists", f"there is already a card {past.number}")
    return _refused("customer_has_card", f"customer {past.customer_id} already has a card")


def _refused(reason: str, sentence: str) -> ImportedCard:
    return ImportedCard("rejected", 0, reason, sentence)
