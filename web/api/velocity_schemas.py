"""What the operations on velocity take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.loyalty.rules.velocity import LIMITS_MAX, MINUTES_MAX, MOST

_SAID = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"


class VelocityDecision(BaseModel):
    """Why a case is released or rejected."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, pattern=_SAID)


class VelocityLimit(BaseModel):
    """At most so many acts, or points in them, in each window of so many minutes."""

    model_config = ConfigDict(extra="forbid")

    per: Literal["card", "pin", "device", "address"]
    what: Literal["earn", "redeem"]
    minutes: int = Field(ge=1, le=MINUTES_MAX)
    count: int | None = Field(default=None, ge=1, le=MOST)
    points: int | None = Field(default=None, ge=1, le=MOST)
    then: Literal["flag", "hold", "refuse"]


class VelocityPolicy(BaseModel):
    """What is too fast, in a program or (null) in all without a policy of their own."""

    model_config = ConfigDict(extra="forbid")

    program: str | None = Field(default=None, min_length=1, max_length=100, pattern=_SAID)
    limits: list[VelocityLimit] = Field(max_length=LIMITS_MAX)


class VelocityPolicies(BaseModel):
    """The merchant's own policy first, then those of its programs."""

    policies: list[VelocityPolicy]


class VelocityCase(BaseModel):
    """An event that was too fast."""

    id: int
    action: Literal["hold", "flag"] = Field(
        description="hold: nothing is booked until it is released. flag: it is booked."
    )
    program: str
    card: str
    points: int = Field(description="What it earned or redeemed, or would.")
    evidence: list[dict[str, Any]] = Field(
        description="The limits that it broke, with what was reached."
    )
    found_at: datetime
    source: str
    event_id: str
    type: str
    occurred_at: datetime
    status: str = Field(description="Of the event.")
    reason: str | None = Field(description="Of the event.")
    store: str | None
    pin: str | None
    device: str | None
    address: str | None
    outcome: Literal["released", "rejected"] | None
    closed_at: datetime | None
    closed_by: str | None
    close_reason: str | None


class VelocityCases(BaseModel):
    """Cases, newest first."""

    cases: list[VelocityCase]
    next: int | None = Field(description="`cursor` of the next page; null on the last one.")


class VelocitySettled(BaseModel):
    """What became of a case."""

    case: int
    outcome: Literal["released", "rejected"]
    status: str = Field(
        description="Of its event, or of the one that undoes it: a released event may still be refused."
    )
    reason: str | None
    detail: str | None
    undone_by: str | None = Field(
        description="Id of the event (source payspool/velocity) that undoes what was flagged."
    )
