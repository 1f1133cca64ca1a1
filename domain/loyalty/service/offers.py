"""What a card can redeem now."""

from dataclasses import dataclass
from datetime import datetime

from domain.db import Tx
from domain.loyalty.rules.offers import Offer, offers
from domain.loyalty.service.cards import CardView, card
from domain.loyalty.store import programs


@dataclass(frozen=True, slots=True)
class Rewards:
    """A card and what the catalogue offers it."""

    card: CardView
    offers: list[Offer]


def rewards_of(tx: Tx, merchant_id: int, number: str, now: datetime) -> Rewards | None:
    """The rewards of a card's program at business time ``now``, with what is missing; None without a card.

    It promises nothing: who redeems next to it may be faster. A hold reserves.
    """
    seen = card(tx, merchant_id, number, now)
    if seen is None:
        return None
    program = next(p for p in programs.of_merchants(tx, [merchant_id]) if p.key == seen.program)
    return Rewards(
        seen,
        offers(
            program,
            spendable=seen.points.spendable,
            stamps=seen.stamps,
            active=seen.status == "active",
            customer_known=not seen.anonymized,
        ),
    )
