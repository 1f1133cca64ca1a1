"""Enrolment: one card for a customer, one customer for a number, whoever is first."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from domain.db import Tx
from domain.loyalty import rules
from domain.loyalty.rules import Card, Program, Refusal
from domain.loyalty.rules.cards import Standing
from domain.loyalty.service.events import LoyaltyEvent
from domain.loyalty.store import cards as store
from domain.loyalty.store.cards import NewCard

LOOKS_SPARE: Final = 8
"""Looks beyond two for each enrolment (one that loses its race, one that finds the winner): room for
generated numbers that a producer has already given to other cards."""


def open_cards(
    tx: Tx, events: Sequence["LoyaltyEvent"], programs: Iterable[Program], now: datetime
) -> dict[int, Card | Refusal]:
    """Add the cards that ``events`` open; by inbox id, the new card (empty) or why there is none.

    Cards are added before any existing one is locked, so that nobody who waits here for a concurrent
    enrolment holds a card that the other needs. The unique keys decide between concurrent batches: who
    loses finds the winner's card on the next look.
    """
    opened: dict[int, Card | Refusal] = {}
    waiting = _candidates(events, programs, now, opened)
    for _ in range(2 * len(waiting) + LOOKS_SPARE):
        if not waiting:
            break
        waiting = _add(tx, waiting, opened)
    assert not waiting, "every enrolment is decided"
    return opened


def _candidates(
    events: Sequence["LoyaltyEvent"],
    programs: Iterable[Program],
    now: datetime,
    opened: dict[int, Card | Refusal],
) -> dict[int, NewCard]:
    by_merchant: dict[int, list[Program]] = {}
    for program in programs:
        by_merchant.setdefault(program.merchant_id, []).append(program)
    candidates: dict[int, NewCard] = {}
    for event in events:
        if event.type != "loyalty.card_created":
            continue
        number = event.data.card
        chosen = rules.choose_program(by_merchant.get(event.merchant_id, ()), event.data.program)
        if number is not None and not rules.is_card_number(number):
            opened[event.inbox_id] = Refusal(
                "card_number_invalid",
                "a card number has 1 to 50 visible ASCII characters and no blanks",
            )
        elif isinstance(chosen, Refusal):
            opened[event.inbox_id] = chosen
        else:
            at = rules.effective_time(
                event.time, now, backdating_days=chosen.backdating_days, expired_through=None
            )
            candidates[event.inbox_id] = NewCard(
                event.merchant_id, chosen, number, event.data.customer_id, at
            )
    return candidates


def _add(
    tx: Tx, waiting: Mapping[int, NewCard], opened: dict[int, Card | Refusal]
) -> dict[int, NewCard]:
    """Add those whose number and customer are free; returns those that the next look decides."""
    numbers, customers = store.taken(
        tx, [(new.merchant_id, new.number, new.customer_id) for new in waiting.values()]
    )
    free: dict[int, NewCard] = {}
    claimed: set[tuple[int, str, str]] = set()
    for inbox_id, new in waiting.items():
        keys = {(new.merchant_id, "customer", new.customer_id)}
        if new.number is not None:
            keys.add((new.merchant_id, "number", new.number))
        if not keys.isdisjoint(claimed):
            # Depends on an earlier one that may still lose its race: only a card that exists refuses.
            claimed |= keys
        elif (new.merchant_id, new.number) in numbers:
            opened[inbox_id] = Refusal("card_exists", f"there is already a card {new.number}")
        elif (new.merchant_id, new.customer_id) in customers:
            opened[inbox_id] = Refusal(
                "customer_has_card", f"customer {new.customer_id} already has a card"
            )
        else:
            free[inbox_id] = new
            claimed |= keys
    named = [
        (card_id, new.number or rules.card_number(card_id), new)
        for card_id, new in zip(store.new_ids(tx, len(free)), free.values(), strict=True)
    ]
    added = store.add(tx, named) if named else set()
    for inbox_id, (card_id, number, new) in zip(free, named, strict=True):
        if card_id in added:
            opened[inbox_id] = Card(
                card_id,
                new.merchant_id,
                new.program,
                number,
                new.customer_id,
                new.at,
                [],
                recent=[],
                tier=Standing(terms=new.program.tiers_version) if new.program.tiers else None,
            )
    return {inbox_id: new for inbox_id, new in waiting.items() if inbox_id not in opened}
