"""What the operations on codes and hold policies take and answer, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from domain.referrals.bulk import MAX_BATCH, MAX_BATCH_KEY
from web.api.referrals_schemas import NO_NUL, Asked, DecisionRequest

UserId = Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL)]


class BulkRequest(Asked):
    """Codes to make; `count` of each user."""

    program: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    users: list[UserId] = Field(min_length=1, max_length=MAX_BATCH)
    count: int = Field(default=1, ge=1, le=MAX_BATCH)
    batch: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_BATCH_KEY,
        pattern=r"^[A-Za-z0-9._:/-]+$",
        description="Its key: asked for again, the same codes are told. Absent: `Idempotency-Key` is.",
    )
    max_uses: int | None = None
    expires_at: datetime | None = None


class MadeCode(BaseModel):
    """A code and its owner."""

    user_id: str
    code: str


class Batch(BaseModel):
    """Codes that were made together, in the order of their users."""

    batch: str
    program: str
    repeated: bool = Field(description="They were made before.")
    codes: list[MadeCode]


class ListedCode(BaseModel):
    """A code as it is."""

    code: str
    user_id: str
    program: str
    status: Literal["active", "inactive", "expired", "suspended"]
    uses: int
    max_uses: int | None
    expires_at: datetime | None


class Codes(BaseModel):
    """Codes, in their order."""

    codes: list[ListedCode]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class CodeStatusRequest(DecisionRequest):
    """What a code is from now on, and why."""

    status: Literal["active", "inactive", "suspended"]


class HoldPolicyRequest(Asked):
    """What is looked at. A limit is how many conversions count before the next are held; null: any number."""

    program: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        pattern=NO_NUL,
        description="Null: for all programs without a policy of their own.",
    )
    same_email: bool = True
    shared_destination: bool = True
    code_per_hour: int | None = None
    code_per_day: int | None = None
    referrer_per_hour: int | None = None
    referrer_per_day: int | None = None


class HoldPolicy(BaseModel):
    """What is looked at, for a program or (null) for all without a policy of their own."""

    program: str | None
    same_email: bool
    shared_destination: bool
    code_per_hour: int | None
    code_per_day: int | None
    referrer_per_hour: int | None
    referrer_per_day: int | None


class HoldPolicies(BaseModel):
    """The merchant's own policy first, then those of its programs."""

    policies: list[HoldPolicy]
