"""Rewards of cash: points become an earning of the cardholder, and so part of a payout."""

from collections.abc import Iterable

from domain.db import Tx
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.loyalty.rules import Entry
from domain.loyalty.service.transfers import SOURCE_KIND


def earnings_of(tx: Tx, entries: Iterable[Entry]) -> list[NewEarning]:
    """What stored ``entries`` earn their cardholders in money, or take back of it, in order.

    A void takes back its share whether or not the cash is paid out: before, both are left out or claimed
    together; after, the debit is set against what the payee earns next.
    """
    moving = [entry for entry in entries if entry.cash]
    if not moving:
        return []
    earlier = [e.original.stored_id for e in moving if e.original and not e.original.entry]
    known: dict[int, tuple[NewEarning | int, str]] = {
        row.source_id: (row.id, row.user_id)
        for row in earnings.by_source(tx, SOURCE_KIND, earlier)
        if row.kind == "cash_redemption"
    }
    new: list[NewEarning] = []
    for entry in moving:
        card, original = entry.card, entry.original
        # Taken back from whom it was paid to: the card may have forgotten its customer since.
        taken, user = known[original.id] if original else (None, card.customer_id)
        earning = NewEarning(
            card.merchant_id,
            user,
            entry.explanation["currency"],
            entry.cash,
            "clawback" if original else "cash_redemption",
            SOURCE_KIND,
            entry.id,
            available_at=entry.at,
            occurred_at=entry.happened_at,
            reverses=taken,
        )
        known[entry.id] = earning, user
        new.append(earning)
    return new
