"""What loyalty asks of an event, what becomes of one, and under what one waits for another."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from domain.loyalty.rules import Refusal


class LoyaltyEvent(Protocol):
    """A claimed event. ``data`` has the attributes of ``payspool_client.events.loyalty``'s models."""

    @property
    def inbox_id(self) -> int: ...
    @property
    def merchant_id(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def data(self) -> Any: ...
    @property
    def card_by(self) -> datetime | None:
        """Until when it waits for its card to appear; None: whoever sent it is told at once."""


@dataclass(frozen=True, slots=True)
class Done:
    """An applied event: the rows that it made, its points (signed), and the card's balances after it.

    ``noted`` says why an applied event made no row. Under ``correlation`` it is looked at again, should
    the original that was refused be accepted.
    """

    card_id: int
    card: str
    transaction_ids: tuple[int, ...]
    points: int
    balance: int
    stamps: int = 0
    stamps_balance: int = 0
    noted: str | None = None
    correlation: str | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """The event's original or card has not arrived: it is taken up again with what ``correlation`` names."""

    correlation: str
    reason: str = "waits_for_original"


CARD_WAIT: Final = timedelta(hours=1)
"""How long after its reception (business time) an event of the queue waits for its card: a till that enrols and sells at
once has its events applied in any order. Then it is refused."""

NEEDS_CARD: Final = frozenset(
    {
        "loyalty.card_deactivated",
        "loyalty.card_reactivated",
        "loyalty.points_adjusted",
        "loyalty.points_earned",
        "loyalty.points_held",
        "loyalty.points_redeemed",
        "loyalty.stamp_adjusted",
        "loyalty.stamp_earned",
        "loyalty.stamp_redeemed",
    }
)
"""Events that need nothing but their card, and wait for it. What corrects another event waits for that one."""


NAMES_ITS_ORIGINAL: Final = frozenset(
    {
        "loyalty.points_voided",
        "loyalty.stamp_voided",
        "loyalty.hold_captured",
        "loyalty.hold_released",
    }
)
"""Events that need the one in ``related_event``, and wait for it."""

CHANGES_TIER: Final = frozenset(
    {"loyalty.points_earned", "loyalty.points_voided", "loyalty.purchase_refunded"}
)
"""Events that change what a card earned in a period."""

Outcome = Done | Refusal | Waits

EventKey = tuple[int, str, str]
"""(merchant, source, id) of an event."""


def event_correlation(source: str, event_id: str) -> str:
    """What an event waits under whose original is the event (source, id)."""
    return f"event:{source}/{event_id}"


def order_correlation(order_reference: str) -> str:
    """What a refund waits under whose purchase has not arrived."""
    return f"order:{order_reference}"


def card_correlation(number: str) -> str:
    """What an event waits under whose card has not been enrolled."""
    return f"card:{number}"


def correlation_of(event_type: str, data: Any, source: str) -> str | None:
    """What ties a correction to its original, and an enrolment to what waits for its card; else None.

    Originals take no part: who applies one holds its card's lock, and finds there what waits for it.
    """
    if event_type == "loyalty.purchase_refunded":
        return order_correlation(data.order_reference)
    if event_type == "loyalty.card_created":
        return card_correlation(data.card)
    related = getattr(data, "related_event", None)
    if event_type in NAMES_ITS_ORIGINAL and related is not None:
        return event_correlation(related.source or source, related.id)
    return None
