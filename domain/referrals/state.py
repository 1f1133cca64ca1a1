"""What a batch of conversions works on in memory: loaded once, advanced by the rules, flushed once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from domain.earnings.rules import NewEarning
from domain.referrals.rules.conversions import Code, Program, Refusal


class Incoming(Protocol):
    """An event as the inbox hands it over: claimed, valid, its merchant known."""

    @property
    def inbox_id(self) -> int: ...
    @property
    def merchant_id(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def data(self) -> Any: ...
    @property
    def order(self) -> Any:
        """What events that waited are sorted by."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The event's predecessor has not arrived: it is kept under ``correlation`` and taken up with it."""

    correlation: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Applied without effect for a ``reason``; taken up again under ``correlation`` if that changes."""

    reason: str
    correlation: str


Outcome = Refusal | Waiting | Noted | None
"""What became of an event: refused, waiting, noted without effect, or applied (None)."""


def transaction_correlation(transaction_id: str) -> str:
    """What ties the events of one transaction together."""
    return f"transaction:{transaction_id}"


@dataclass(slots=True)
class AttributionState:
    """An ``attributions`` row; ``moved`` and ``counted`` tell the flush what to write.

    ``made_by`` is the event of this batch that adds it: those before that event do not see it.
    """

    id: int
    program_id: int
    code_id: int
    attributed_at: datetime
    rewarded: int = 0
    first_rewarded_at: datetime | None = None
    made_by: int | None = None
    moved: bool = False
    counted: bool = False


@dataclass(slots=True)
class ReferrerState:
    """A locked ``referrer_states`` row."""

    id: int
    last_seq: int
    conversions: int
    volume: int
    rewards: int
    changed: bool = False


@dataclass(slots=True)
class EarningRef:
    """The earning of a tracking: recorded before (its id), or in this batch (the new one)."""

    earning: NewEarning | int
    user_id: str
    available_at: datetime
    hold_reason: str | None
    method: str | None


@dataclass(slots=True)
class TrackingState:
    """A tracking, stored before or made in this batch."""

    id: int
    merchant_id: int
    inbox_id: int
    referrer_user_id: str
    referred_user_id: str
    code_id: int
    program_id: int
    program_version: int
    transaction_id: str | None
    transaction_amount: int | None
    amount_earned: int
    referee_amount_earned: int
    currency: str
    converted_at: datetime
    seq: int | None
    explanation: dict[str, Any]
    refunded_amount: int = 0
    fully_refunded: bool = False
    reversed_amount: int = 0
    referee_reversed_amount: int = 0
    new: bool = False
    changed: bool = False
    refund_ids: set[str] = field(default_factory=set)
    reward: EarningRef | None = None
    referee_reward: EarningRef | None = None


@dataclass(slots=True)
class NewReversal:
    """A reversal to be written, with the clawbacks that wait for its id."""

    tracking: TrackingState
    event: Incoming
    external_id: str
    amount: int
    reversed: int
    referee_reversed: int


@dataclass(slots=True)
class BatchState:
    """Everything that a batch reads and writes."""

    codes: dict[tuple[int, str], Code] = field(default_factory=dict)
    codes_by_id: dict[int, Code] = field(default_factory=dict)
    programs: dict[int, Program] = field(default_factory=dict)
    # (merchant, referred user) → codes that a conversion without a code may follow, and of those the
    # attributions that it sees
    candidates: dict[tuple[int, str], set[int]] = field(default_factory=dict)
    remembered: dict[tuple[int, str], list[AttributionState]] = field(default_factory=dict)
    attributions: dict[tuple[int, int, str], AttributionState] = field(default_factory=dict)
    referrers: dict[tuple[int, int, str], ReferrerState] = field(default_factory=dict)
    trackings: dict[tuple[int, str], TrackingState] = field(default_factory=dict)
    new_trackings: list[TrackingState] = field(default_factory=list)
    new_reversals: list[NewReversal] = field(default_factory=list)
    code_uses: dict[int, int] = field(default_factory=dict)
    earnings: list[NewEarning] = field(default_factory=list)
