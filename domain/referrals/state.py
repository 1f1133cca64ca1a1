"""What a batch of conversions works on in memory: loaded once, advanced by the rules, flushed once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from domain.db import Tx
from domain.earnings.rules import EarningHold, NewEarning
from domain.referrals.rules.conversions import Code, Program, Refusal
from domain.referrals.rules.periods import begins


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


Destinations = Callable[[Tx, Collection[tuple[int, str]]], Mapping[tuple[int, str], str]]
"""Where (merchant, user) are paid, as a name that only those who are paid there share."""

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
class PeriodState:
    """A ``referrer_periods`` row, locked by its referrer's."""

    state_id: int
    period: str
    starts_at: datetime
    conversions: int
    volume: int
    changed: bool = False


@dataclass(slots=True)
class EarningRef:
    """The earning of a tracking: recorded before (its id), or in this batch (the new one)."""

    earning: NewEarning | int
    user_id: str
    available_at: datetime
    method: str | None
    # An operator rejected it: nothing is held of it any more.
    voided: bool = False


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
    dispute_lost: bool = False
    reversed_amount: int = 0
    referee_reversed_amount: int = 0
    rejected: bool = False
    new: bool = False
    changed: bool = False
    refund_ids: set[str] = field(default_factory=set)
    disputes: dict[str, HoldState] = field(default_factory=dict)
    reward: EarningRef | None = None
    referee_reward: EarningRef | None = None
    referred_email_hash: str | None = None
    # Counted by another system before: nothing of it is suspected.
    imported: bool = False

    @property
    def counts(self) -> bool:
        """Whether it still counts for its referrer: neither taken back as a whole nor rejected."""
        return not (self.fully_refunded or self.dispute_lost or self.rejected)

    @property
    def volume(self) -> int:
        """What it adds to its referrer's volume, minor units."""
        if self.dispute_lost or self.rejected:
            return 0
        return (self.transaction_amount or 0) - self.refunded_amount


@dataclass(slots=True)
class HoldState:
    """A ``tracking_holds`` row: open until it has an outcome. ``id`` 0: to be written.

    ``changed``: it was stored open, and this batch closed it.
    """

    tracking: TrackingState
    kind: str
    ref: str
    inbox_id: int
    held_at: datetime
    evidence: dict[str, Any] = field(default_factory=dict)
    id: int = 0
    outcome: str | None = None
    closed_at: datetime | None = None
    changed: bool = False


@dataclass(slots=True)
class NewReversal:
    """A reversal to be written, with the clawbacks that wait for its id."""

    tracking: TrackingState
    event: Incoming
    kind: str
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
    # (referrer's state, when it begins) → counts, for programs whose tiers begin anew
    periods: dict[tuple[int, datetime], PeriodState] = field(default_factory=dict)
    trackings: dict[tuple[int, str], TrackingState] = field(default_factory=dict)
    new_trackings: list[TrackingState] = field(default_factory=list)
    new_reversals: list[NewReversal] = field(default_factory=list)
    new_holds: list[HoldState] = field(default_factory=list)
    code_uses: dict[int, int] = field(default_factory=dict)
    earnings: list[NewEarning] = field(default_factory=list)
    # (merchant, user) → hash, as the events of the batch say it
    email_hashes: dict[tuple[int, str], str] = field(default_factory=dict)
    # Earnings of earlier batches whose holds this one opened or closed.
    holds: list[EarningHold] = field(default_factory=list)

    def period_of(
        self, program: Program, referrer: ReferrerState | None, at: datetime
    ) -> PeriodState | None:
        """The counts of a referrer in the period of ``at``; None where tiers never begin anew."""
        if program.period is None or referrer is None:
            return None
        return self.periods.get((referrer.id, begins(program.period, at)))
