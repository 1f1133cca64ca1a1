"""A shop with a loyalty program: what the tests of loyalty share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text

from domain.db import Tx
from domain.ledger import service as ledger
from domain.loyalty import service
from domain.loyalty.rules import Program
from domain.loyalty.service import Applied, Outcome
from payspool_client.events import loyalty as models

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

_TYPES = {
    model.type: model for model in (models.CardCreated, models.PointsEarned, models.PointsRedeemed)
}
_event_ids = count(1)


@dataclass
class Event:
    """What the inbox hands over: an event that is claimed by a row of its own."""

    merchant_id: int
    type: str
    time: datetime
    data: Any
    inbox_id: int = 0


@dataclass
class Shop:
    """A merchant with its programs. Each call takes the transaction that it works in."""

    merchant_id: int
    programs: list[Program] = field(default_factory=list)

    def event(self, type_: str, time: datetime = NOON, **data: Any) -> Event:
        return Event(self.merchant_id, f"loyalty.{type_}", time, _TYPES[f"loyalty.{type_}"](**data))

    def enrol(
        self, card: str, customer: str | None = None, time: datetime = NOON, **data: Any
    ) -> Event:
        return self.event(
            "card_created", time, card=card, customer_id=customer or f"of-{card}", **data
        )

    def earn(
        self, card: str, points: int | None = None, time: datetime = NOON, **data: Any
    ) -> Event:
        return self.event("points_earned", time, card=card, points=points, **data)

    def redeem(self, card: str, points: int, time: datetime = NOON, **data: Any) -> Event:
        return self.event("points_redeemed", time, card=card, points=points, **data)

    def apply(self, tx: Tx, events: Sequence[Event], now: datetime = NOON) -> list[Outcome]:
        """Claim, apply and post, as the inbox does."""
        claim(tx, events)
        applied: Applied = service.apply(tx, events, now)
        ledger.post(tx, applied.transfers)
        return applied.outcomes


def claim(tx: Tx, events: Sequence[Event]) -> None:
    rows = tx.execute(
        text(
            """
            INSERT INTO inbox_events (merchant_id, source, event_id, type, received_at, content_hash, status)
            SELECT merchant_id, 'test', event_id, 'x', now(), sha256('x'), 'applied'
            FROM unnest(CAST(:merchants AS bigint[]), CAST(:ids AS text[])) AS e (merchant_id, event_id)
            RETURNING id
            """
        ),
        {
            "merchants": [event.merchant_id for event in events],
            "ids": [str(next(_event_ids)) for _ in events],
        },
    )
    for event, row in zip(events, rows, strict=True):
        event.inbox_id = row[0]


@pytest.fixture(scope="session")
def open_shop() -> Callable[..., Shop]:
    """Makes a merchant with one program, ``beans``; keywords are terms of the program."""
    names = count(1)

    def open_(tx: Tx, **terms: Any) -> Shop:
        merchant_id = tx.execute(
            text(
                "INSERT INTO merchants (key, name, mode) VALUES (:key, 'Shop', 'test') RETURNING id"
            ),
            {"key": f"shop-{next(names)}"},
        ).scalar_one()
        terms = {"name": "Beans", "currency": "eur", **terms}
        return Shop(merchant_id, [service.create_program(tx, merchant_id, "beans", **terms)])

    return open_


@pytest.fixture
def shop(tx: Tx, open_shop: Callable[..., Shop]) -> Shop:
    """A shop whose program gives a point for each euro and expires after a year without activity."""
    return open_shop(tx, inactivity_days=365, zone="Europe/Berlin")


@pytest.fixture(scope="session")
def history() -> Callable[..., list[tuple[Any, ...]]]:
    """Rows of the cards of a shop: number, seq, type, points, balance after, time and who stands behind."""

    def rows(tx: Tx, shop: Shop, *numbers: str) -> list[tuple[Any, ...]]:
        found = tx.execute(
            text(
                """
                SELECT c.number, t.seq, t.type, t.points_delta, t.points_balance_after, t.transaction_at
                FROM loyalty_transactions t JOIN cards c ON c.id = t.card_id
                WHERE t.merchant_id = :merchant AND (cardinality(CAST(:numbers AS text[])) = 0 OR c.number = ANY(CAST(:numbers AS text[])))
                ORDER BY c.number, t.seq
                """
            ),
            {"merchant": shop.merchant_id, "numbers": list(numbers)},
        )
        return [tuple(row) for row in found]

    return rows
