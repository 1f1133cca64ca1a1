"""A shop with a loyalty program: what the tests of loyalty share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text

from domain.db import Tx
from domain.earnings import service as earnings
from domain.loyalty import service
from domain.loyalty.rules import Program
from domain.loyalty.service import Applied, Outcome
from payspool_client.events import loyalty as models

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

_TYPES = {
    model.type: model
    for model in vars(models).values()
    if isinstance(model, type) and isinstance(getattr(model, "type", None), str)
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
    source: str = "test"
    event_id: str = ""
    card_by: datetime | None = None

    def __post_init__(self) -> None:
        self.event_id = self.event_id or str(next(_event_ids))


@dataclass
class Shop:
    """A merchant with its programs. Each call takes the transaction that it works in."""

    merchant_id: int
    programs: list[Program] = field(default_factory=list)

    def event(self, type_: str, time: datetime = NOON, **data: Any) -> Event:
        return Event(self.merchant_id, f"loyalty.{type_}", time, _TYPES[f"loyalty.{type_}"](**data))

    def claimed(self, tx: Tx, events: Sequence[Event]) -> None:
        """Claim events that the test then applies itself."""
        claim(tx, events)

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

    def void(
        self, event: Event, points: int | None = None, time: datetime = NOON, **data: Any
    ) -> Event:
        """Void what ``event`` booked: on its card, unless another is named."""
        return self.event(
            "points_voided",
            time,
            **{"card": event.data.card, "related_event": event.event_id, "points": points, **data},
        )

    def adjust(self, card: str, points: int, time: datetime = NOON, **data: Any) -> Event:
        return self.event(
            "points_adjusted", time, card=card, points=points, **{"reason": "goodwill", **data}
        )

    def refund(
        self, order: str, refund_id: str, amount: int, time: datetime = NOON, **data: Any
    ) -> Event:
        return self.event(
            "purchase_refunded",
            time,
            order_reference=order,
            refund_id=refund_id,
            amount=amount,
            **data,
        )

    def apply(self, tx: Tx, events: Sequence[Event], now: datetime = NOON) -> list[Outcome]:
        """Claim, apply and post, as the inbox does."""
        return self.applied(tx, events, now).outcomes

    def stamp(self, card: str, stamps: int = 1, time: datetime = NOON, **data: Any) -> Event:
        return self.event("stamp_earned", time, card=card, stamps=stamps, **data)

    def applied(self, tx: Tx, events: Sequence[Event], now: datetime = NOON) -> Applied:
        """The same, with what it wakes."""
        claim(tx, events)
        applied = service.apply(tx, events, now)
        earnings.record(tx, applied.earnings, beside=applied.transfers)
        return applied


def claim(tx: Tx, events: Sequence[Event]) -> None:
    rows = tx.execute(
        text(
            """
            INSERT INTO inbox_events (merchant_id, source, event_id, type, received_at, content_hash, status)
            SELECT merchant_id, 'test', event_id, type, now(), sha256('x'), 'applied'
            FROM unnest(CAST(:merchants AS bigint[]), CAST(:ids AS text[]), CAST(:types AS text[]))
                 AS e (merchant_id, event_id, type)
            RETURNING id
            """
        ),
        {
            "merchants": [event.merchant_id for event in events],
            "ids": [event.event_id for event in events],
            "types": [event.type for event in events],
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


@pytest.fixture(params=["one batch", "one by one"])
def apply(request: Any) -> Any:
    """Applies events: all in one batch, or each in its own."""

    def run(tx: Tx, shop: Any, events: list[Any], now: datetime = NOON) -> list[Any]:
        if request.param == "one batch":
            return list(shop.apply(tx, events, now))
        return [shop.apply(tx, [event], now)[0] for event in events]

    return run
