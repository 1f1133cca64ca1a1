"""What the operations of a desk on cards take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

_SAID = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
_MOST = 2**53 - 1


class MergeRequest(BaseModel):
    """Which card takes over, and why."""

    model_config = ConfigDict(extra="forbid")

    into: str = Field(pattern=r"^[!-~]{1,50}$")
    reason: str = Field(min_length=1, max_length=500, pattern=_SAID)
    dry_run: bool = False


class MergeReply(BaseModel):
    """What moved, or would move."""

    card: str
    into: str
    result: Literal["merged", "already", "would_merge"]
    points: int = Field(description="In lots, which keep their deadlines.")
    debt: int = Field(description="What the card owed; the other's points pay it.")
    stamps: int
    holds: int = Field(description="Open holds that go on.")
    balance: int = Field(description="Of the card that took over.")


class RestoreRequest(BaseModel):
    """Which points come back, for how long, and why."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(
        min_length=1,
        max_length=255,
        pattern=_SAID,
        description="Names this restore; the same again gives nothing twice.",
    )
    reason: str = Field(min_length=1, max_length=500, pattern=_SAID)
    points: int | None = Field(
        default=None, ge=1, le=_MOST, description="Absent: all that expired."
    )
    days: int | None = Field(
        default=None, ge=1, le=3660, description="How long they live; absent: `restore_days`."
    )
    until: AwareDatetime | None = Field(default=None, description="Or when they expire.")
    dry_run: bool = False


class RestoreReply(BaseModel):
    """What came back, or would come back."""

    card: str
    result: Literal["restored", "already", "would_restore"]
    points: int
    expires_at: datetime
    balance: int


class CardReward(BaseModel):
    """A reward of the catalogue, and what the card lacks for it."""

    reward_id: str | None = Field(description="Null: the full card of stamps.")
    description: str
    points: int | None
    stamps: int | None
    cash: int | None = Field(description="What it pays, in minor units of `currency`.")
    currency: str | None
    available: bool
    missing_points: int
    missing_stamps: int
    why: str | None = Field(description="The reason that a redemption would be refused with.")


class CardRewards(BaseModel):
    """What a card can redeem now."""

    card: str
    spendable: int
    stamps: int
    rewards: list[CardReward]
