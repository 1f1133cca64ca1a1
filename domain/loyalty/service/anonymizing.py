"""Anonymize a customer: personal data leaves the card and its history, amounts and times stay."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.db import Tx
from domain.loyalty.store import anonymizing as store

ANONYMIZED: Final = "loyalty.customer_anonymized"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A customer who was anonymized by the event ``inbox_id``, with the number of their card, if they had
    one, and the events that made its history: what else is kept of these is to be emptied too."""

    merchant_id: int
    inbox_id: int
    customer_id: str
    card: str | None
    events: tuple[int, ...]


def anonymize(
    tx: Tx, merchant_id: int, inbox_id: int, customer_id: str, now: datetime
) -> list[Forgotten]:
    """Anonymize a customer for good, whether or not they have a card here; they are the first of the answer.

    The card stays in use under its number; its balance and history stay. The same customer may be
    enrolled again, on a new card. Cards that were merged are one customer's, by whatever name each knew them:
    all of these are forgotten.
    """
    forgotten = [
        Forgotten(
            merchant_id, inbox_id, card.customer_id, card.number, tuple(store.empty(tx, card.id))
        )
        for card in store.forget(tx, merchant_id, customer_id, now)
    ]
    if not forgotten:
        return [Forgotten(merchant_id, inbox_id, customer_id, None, ())]
    return sorted(forgotten, key=lambda one: one.customer_id != customer_id)
