"""What the operations on runs and payouts take and answer, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PayoutState = Literal[
    "draft",
    "pending_approval",
    "approved",
    "sending",
    "in_transit",
    "paid",
    "unknown",
    "failed",
    "canceled",
    "reversed",
    "returned",
]
RunState = Literal[
    "building", "frozen", "pending_approval", "approved", "rejected", "sending", "settled"
]
Method = Literal["stripe", "wise", "manual"]


class CancelRequest(BaseModel):
    """Why a payout is canceled."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, pattern=r"^[^\u0000]*[^\s\u0000][^\u0000]*$")


class ReverseRequest(BaseModel):
    """What is to be taken back, and why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, pattern=r"^[^\u0000]*[^\s\u0000][^\u0000]*$")
    amount: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=2**63 - 1,
        description="In minor units; absent: all that is left.",
    )
    reversed_amount: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=2**63 - 1,
        description="How much of it came back already, as the payout shows it; required with `amount`, so that"
        " the same call again takes no second part.",
    )

    @model_validator(mode="after")
    def _a_part_is_of_what_is_known(self) -> ReverseRequest:
        if self.amount is not None and self.reversed_amount is None:
            raise ValueError("give reversed_amount with amount, as the payout shows it")
        return self


class Run(BaseModel):
    """A run: what it was asked to pay, and what it made."""

    id: int
    name: str
    state: RunState
    as_of: datetime = Field(description="What was due then is in it (business time).")
    minimums: dict[str, int] = Field(
        description="The smallest payout by currency, minor units; the merchant's policy may ask for more."
    )
    methods: list[str]
    created: int = Field(description="Payouts that it made; 0 until it is frozen.")
    skipped: int = Field(description="Payees and currencies that it left out.")
    errors: list[str]
    reasons: dict[str, int] = Field(description="How many were left out, by reason.")
    by_currency: dict[str, dict[str, int]] = Field(
        description="Number and sum of its payouts, and what they carried over, in minor units."
    )
    members_hash: str = Field(
        description="SHA-256 over all that it pays; what is approved is this."
    )
    created_at: datetime
    prepared_by: str | None = Field(description="Who cannot approve it.")
    needs_approval: bool
    approval_expires_at: datetime | None
    frozen_at: datetime | None
    approved_at: datetime | None
    approved_by: str | None
    rejected_at: datetime | None
    rejected_by: str | None
    reject_reason: str | None
    settled_at: datetime | None


class Runs(BaseModel):
    """Runs, newest first."""

    runs: list[Run]
    next: int | None = Field(description="`cursor` of the next page; null on the last one.")


class Exclusion(BaseModel):
    """A payee and currency that a run left out, and why."""

    user_id: str
    currency: str
    amount: int = Field(description="What would have been paid, in minor units; 0 if not computed.")
    reason: str
    detail: str
    created_at: datetime


class Exclusions(BaseModel):
    """Whom a run left out."""

    exclusions: list[Exclusion]
    next: int | None = Field(description="`cursor` of the next page; null on the last one.")


class Payout(BaseModel):
    """A payout. Accounts in sentences are shown by their last four characters."""

    id: int
    run_id: int
    user_id: str
    amount: int = Field(description="In minor units.")
    currency: str
    status: PayoutState
    method: Method
    members: int = Field(description="How many earnings are in it.")
    trackings: list[int] = Field(description="The trackings inside, the first 100.")
    external_transaction_id: str | None = Field(description="As the gateway calls it.")
    processed_at: datetime | None
    failed_at: datetime | None
    error_code: str | None
    error_message: str | None
    waits_for: str | None = Field(description="Why nothing happens to it now.")
    next_try_at: datetime | None
    reversed_amount: int
    created_at: datetime


class Payouts(BaseModel):
    """Payouts, newest first."""

    payouts: list[Payout]
    next: int | None = Field(description="`cursor` of the next page; null on the last one.")


class Member(BaseModel):
    """An earning in a payout."""

    id: int
    amount: int = Field(description="In minor units; a debit is negative.")
    kind: str
    source_kind: str
    source_id: int
    available_at: datetime


class Attempt(BaseModel):
    """One try to send a payout, under one key. What was sent, and to whom, is not shown."""

    n: int
    leg: Literal["transfer", "bank"]
    state: str
    key: str = Field(description="The idempotency key.")
    outcome: str | None
    http_status: int | None
    error_code: str | None
    error_message: str | None
    history: list[dict[str, Any]] = Field(description="What was seen, newest last; at most 20.")
    external_id: str | None
    tries: int
    sent_at: datetime | None
    lease_until: datetime | None
    resolved_at: datetime | None


class ReversalAsked(BaseModel):
    """One request to take a payout back, or a part of it, under one key."""

    n: int
    amount: int = Field(description="In minor units of the payout's currency.")
    reason: str
    asked_by: str
    state: Literal["created", "sending", "succeeded", "failed", "unknown"]
    key: str = Field(description="The idempotency key.")
    outcome: str | None
    http_status: int | None
    error_code: str | None
    error_message: str | None
    waits_for: str | None = Field(description="Why nothing happens to it now.")
    history: list[dict[str, Any]] = Field(description="What was seen, newest last; at most 20.")
    external_id: str | None = Field(description="What the gateway calls the reversal.")
    tries: int
    sent_at: datetime | None
    resolved_at: datetime | None
    created_at: datetime


class PayoutExplained(BaseModel):
    """A payout with all that explains it."""

    payout: Payout
    run: Run
    why: list[str] = Field(
        description="Why it is of this amount and in this state; the last sentence is what to do next."
    )
    members: list[Member]
    next: int | None = Field(description="`cursor` of the next page of members; null on the last.")
    attempts: list[Attempt] = Field(description="The newest 100, newest last.")
    reversals: list[ReversalAsked] = Field(
        description="What was asked to be taken back; the newest 100, newest last."
    )


class PayoutAsked(BaseModel):
    """A payout after somebody acted on it."""

    id: int
    status: PayoutState
    why: list[str]


def run(row: Any) -> dict[str, Any]:
    """A stored run as it is answered."""
    result = row.result
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "as_of": row.as_of,
        "minimums": row.minimums,
        "methods": row.methods,
        "created": result.get("created", 0),
        "skipped": result.get("skipped", 0),
        "errors": result.get("errors", []),
        "reasons": result.get("reasons", {}),
        "by_currency": result.get("by_currency", {}),
        "members_hash": row.members_hash,
        "created_at": row.created_at,
        "prepared_by": row.prepared_by,
        "needs_approval": row.needs_approval,
        "approval_expires_at": row.approval_expires_at,
        "frozen_at": row.frozen_at,
        "approved_at": row.approved_at,
        "approved_by": row.approved_by,
        "rejected_at": row.rejected_at,
        "rejected_by": row.rejected_by,
        "reject_reason": row.reject_reason,
        "settled_at": row.settled_at,
    }
