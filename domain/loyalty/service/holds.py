"""The sweep of holds whose time is over. A hold holds nothing from then on: the sweep only books it."""

from datetime import datetime
from typing import Any, Final

from domain.db import Tx
from domain.ledger import service as ledger
from domain.loyalty import rules
from domain.loyalty.service.batch import Batch, keep_due
from domain.loyalty.service.transfers import transfer_for
from domain.loyalty.store import cards as card_store
from domain.loyalty.store import history, programs
from domain.loyalty.store import holds as store

SWEEP_HOLDS: Final = 500
"""Holds that one transaction of the sweep closes at most."""


def time_out_holds(tx: Tx, as_of: datetime) -> int:
    """Close holds that were over by ``as_of`` (business time, UTC), with the expiry that they held up.

    Returns how many were closed: 0 when none are left. Waits for cards that others hold, locks them in
    id order, and keeps them until the transaction ends: commit at once.
    """
    due = store.cards_due(tx, as_of, SWEEP_HOLDS)
    if not due:
        return 0
    known = {p.id: p for p in programs.of_merchants(tx, {row.merchant_id for row in due})}
    cards = card_store.lock(tx, {(row.merchant_id, row.number) for row in due}, known)
    card_store.load_lots(tx, [(card, None) for card in cards.values()], as_of, as_of)
    store.load_open(tx, cards.values())
    batch = Batch(as_of, cards, {})
    for card in cards.values():
        keep_due(batch, card, rules.time_out(card, as_of), rules.book_due_expiry(card, as_of))
    history.write(tx, batch.entries, list(batch.changed.values()), batch.holds)
    ledger.post(tx, [transfer_for(entry) for entry, _, _ in batch.entries])
    return len(batch.holds)


def touched_by(tx: Tx, inbox_id: int) -> Any | None:
    """The hold that an event placed or closed: id, card, points, expires_at, and its reward; or None."""
    return store.touched_by(tx, inbox_id)
