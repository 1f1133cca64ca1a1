"""What the operations on programs, codes, holds and trackings take and answer, as models."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_SAID = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
NO_NUL = r"^[^\u0000]*$"
HoldKind = Literal["dispute", "same_email", "velocity", "shared_destination"]
HoldOutcome = Literal["won", "lost", "released", "rejected"]
ProgramStatus = Literal["active", "paused", "ended"]
PayoutStatus = Literal["pending", "held", "processing", "paid", "failed", "reversed"]


class Asked(BaseModel):
    """A body: what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class DecisionRequest(Asked):
    """Why a hold is released or rejected."""

    reason: str = Field(min_length=1, max_length=500, pattern=_SAID)


class TermsRequest(Asked):
    """The terms of a program: all of them."""

    rule: dict[str, Any] = Field(description="The reward rule.")
    currency: str = Field(pattern="^[a-z]{3}$")
    referee_rule: dict[str, Any] | None = None
    hold_days: int = 0
    window_days: int | None = None
    max_rewards_per_referrer: int | None = None
    min_amount: int = 0
    payout_method: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    codes_per_user: int | None = None


class ProgramRequest(TermsRequest):
    """A new program."""

    key: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    name: str | None = Field(default=None, min_length=1, max_length=255, pattern=NO_NUL)


class CopyRequest(Asked):
    """A new program with the terms of another."""

    key: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    name: str | None = Field(default=None, min_length=1, max_length=255, pattern=NO_NUL)


class StatusRequest(Asked):
    """What a program is from now on."""

    status: ProgramStatus


class CodeRequest(Asked):
    """A new code; without `code`, one is made."""

    program: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    user_id: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    code: str | None = Field(default=None, min_length=6, max_length=20, pattern=NO_NUL)
    max_uses: int | None = None
    expires_at: datetime | None = None
    email_hash: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")


class Program(BaseModel):
    """A program with its present terms; amounts in minor units."""

    key: str
    name: str
    status: ProgramStatus
    version: int
    rule: dict[str, Any]
    referee_rule: dict[str, Any] | None
    currency: str
    hold_days: int
    window_days: int | None
    max_rewards_per_referrer: int | None
    min_amount: int
    payout_method: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    codes_per_user: int | None


class Programs(BaseModel):
    """The programs of a merchant, by key."""

    programs: list[Program]


class Code(BaseModel):
    """A code that was made."""

    code: str
    program: str
    user_id: str


class Validation(BaseModel):
    """Whether a code could be used now."""

    code: str = Field(description="In the form in which it is stored.")
    valid: bool
    reason: str | None
    message: str | None
    program: str | None
    user_id: str | None = Field(description="Whose code it is.")
    uses_left: int | None = Field(description="Null: any number.")
    expires_at: datetime | None
    referee_rule: dict[str, Any] | None = Field(description="What the referred user gets.")
    currency: str | None


class Counts(BaseModel):
    """What happened, amounts in minor units."""

    conversions: int
    volume: int
    earned: int
    referee_earned: int
    reversals: int
    refunded: int
    reversed: int
    referee_reversed: int


class Day(Counts):
    """What happened on a day of UTC."""

    day: date


class Statistics(BaseModel):
    """What a program did."""

    program: str
    currency: str
    total: Counts
    days: list[Day]


class Hold(BaseModel):
    """Why the earnings of a tracking wait, or waited; amounts in minor units."""

    id: int
    tracking_id: int
    kind: HoldKind
    ref: str = Field(description="The dispute; or the limit that was passed.")
    evidence: dict[str, Any]
    held_at: datetime
    outcome: HoldOutcome | None
    closed_at: datetime | None
    closed_by: str | None
    close_reason: str | None
    program: str
    code: str
    transaction_id: str | None
    referrer_user_id: str
    referred_user_id: str
    amount_earned: int
    referee_amount_earned: int
    reversed_amount: int
    currency: str


class RejectedHold(Hold):
    """A hold that was rejected."""

    payouts: list[int] = Field(
        description="Payouts that have a part of what was earned. One that was not sent yet is canceled"
        " instead of being sent; of one that was, the next payout of that payee takes it back."
    )


class Holds(BaseModel):
    """Holds, newest first."""

    holds: list[Hold]
    next: int | None = Field(description="`cursor` of the next page; null on the last one.")


class Tracking(BaseModel):
    """A counted conversion; amounts in minor units."""

    id: int
    program: str
    program_version: int
    code: str
    referrer_user_id: str
    referred_user_id: str
    transaction_id: str | None
    transaction_amount: int | None
    amount_earned: int
    referee_amount_earned: int
    currency: str
    converted_at: datetime
    refunded_amount: int
    dispute_lost: bool
    reversed_amount: int
    referee_reversed_amount: int
    available_at: datetime | None
    payout_id: int | None
    payout_status: PayoutStatus
    explanation: dict[str, Any]


class Trackings(BaseModel):
    """Trackings, newest first."""

    trackings: list[Tracking]
    next: int | None = Field(description="`cursor` of the next page; null on the last one.")


class TrackingExplained(BaseModel):
    """A tracking with all that made its amounts."""

    tracking: Tracking
    terms: dict[str, Any] = Field(description="The rules of its version, and its event.")
    reversals: list[dict[str, Any]]
    holds: list[dict[str, Any]]
    earnings: list[dict[str, Any]]
    why: list[str]
