"""What the inbox decides without a database: identity, duplicates, correlation.

>>> lock_key(1, "transaction:ord-1881") == lock_key(1, "transaction:ord-1881")
True
>>> lock_key(1, "transaction:ord-1881") == lock_key(2, "transaction:ord-1881")
False
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from domain.db import correlation_key
from domain.loyalty.service import events as loyalty
from domain.referrals.state import transaction_correlation
from payspool_client import Event, InvalidEvent, parse_event

MAX_DETAIL: Final = 500
"""Longest stored error text (EVENTS)."""
MAX_MESSAGE_ID: Final = 255
"""Longest message id that is stored as it is (as the column)."""

STANDING_REASONS: Final = frozenset(
    [
        "self_referral",
        "duplicate_transaction",
        "already_rewarded",
        "outside_window",
        "below_minimum",
        "code_exhausted",
        "code_expired",
        "code_inactive",
        "program_inactive",
        "reward_cap_reached",
        "currency_mismatch",
        "missing_amount",
        "duplicate_refund",
        "refund_exceeds_transaction",
        "full_refund_required",
        "duplicate_dispute",
        "dispute_decided",
        "insufficient_points",
        "below_min_redemption",
        "below_minimum_purchase",
        "no_points",
        "card_exists",
        "customer_has_card",
        "card_inactive",
        "card_active",
        "already_voided",
        "nothing_to_void",
        "void_exceeds_original",
        "not_voidable",
        "other_card",
        "order_ambiguous",
        "too_soon",
        "daily_limit_reached",
        "daily_cap_reached",
        "insufficient_stamps",
        "reward_cost_changed",
        "pin_required",
        "pin_disabled",
        "pin_of_another_store",
        "device_revoked",
        "velocity_exceeded",
        "velocity_held",
        "velocity_rejected",
        "store_retired",
        "reward_not_for_points",
        "reward_not_for_stamps",
        "reward_not_held",
        "not_a_hold",
        "hold_captured",
        "hold_released",
        "hold_timed_out",
        "capture_exceeds_hold",
        "program_without_points",
        "program_without_stamps",
    ]
)
"""Refusals that were decisions: a replay of the same event leaves them as they are.

Else a producer that replays last year would redeem points today that the card did not hold then. What
was refused because something was missing (a code, a card) or because the event broke the contract of an
older version, is tried again by a replay. An operator may retry any of them, a paused program's too
(``service.repairs``): that is a decision of its own, with a name to it.
"""


class Delivery(NamedTuple):
    """One event's text as it came off a queue message (or a request), with its place in it."""

    message_id: str
    position: int
    text: str


class Parsed(NamedTuple):
    """A delivery after parsing: an event, or the reason why it is none."""

    delivery: Delivery
    event: Event | None
    error: InvalidEvent | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery.

    ``status``: applied, duplicate, conflict, rejected, waiting or unreadable (kept by message id).
    """

    status: str
    type: str | None
    inbox_id: int | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(slots=True)
class Incoming:
    """A claimed event on its way through the rules."""

    inbox_id: int
    merchant_id: int
    source: str
    event_id: str
    type: str
    time: datetime
    data: Any
    # Until when (business time) it waits for a card that is not there; None: not at all.
    card_by: datetime | None = None

    @property
    def order(self) -> tuple[datetime, str, str]:
        """The order of what waited: when it happened, and by name where that is the same."""
        return (self.time, self.source, self.event_id)


def parse(deliveries: Iterable[Delivery]) -> list[Parsed]:
    """Read every delivery; what is wrong with one is its own."""
    parsed = []
    for delivery in deliveries:
        try:
            parsed.append(Parsed(delivery, parse_event(delivery.text), None))
        except InvalidEvent as error:
            parsed.append(Parsed(delivery, None, error))
    return parsed


def correlation_of(event_type: str, data: Any, source: str = "") -> str | None:
    """What ties an event to those that must be seen together with it, or None."""
    if event_type.startswith("loyalty."):
        return loyalty.correlation_of(event_type, data, source)
    if event_type in ("conversion.recorded", "conversion.refunded", "conversion.disputed"):
        transaction = data.transaction_id
        return None if transaction is None else transaction_correlation(transaction)
    return None


def transaction_of(correlation: str) -> str:
    """The transaction that a correlation names."""
    return correlation.removeprefix(transaction_correlation(""))


def lock_key(merchant_id: int, correlation: str) -> int:
    """The 64-bit advisory lock of a correlation."""
    return correlation_key(merchant_id, correlation)


def message_key(message_id: str) -> str:
    """A message's id as it is stored: what is too long or cannot be stored is named by its hash."""
    if len(message_id) <= MAX_MESSAGE_ID and storable(message_id) == message_id:
        return message_id
    return f"blake2b:{blake2b(message_id.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def storable(text: str) -> str:
    """``text`` as PostgreSQL can keep it: NUL and lone surrogates are written as escapes."""
    return (
        text.encode("utf-8", "backslashreplace").decode("utf-8", "replace").replace("\0", "\\u0000")
    )
