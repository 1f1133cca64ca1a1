"""What the operations on holds, and those that read, answer about cards."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from web.api.schemas import AppliedEvent, CardTransaction


class HeldPoints(BaseModel):
    """Points that were reserved."""

    points: int
    expires_at: datetime = Field(description="From then on they are free again.")
    reward_id: str | None
    reward_description: str | None


class HoldReply(BaseModel):
    """What an event reserved or let go. A repeated request gets the same."""

    event: AppliedEvent
    card: str
    hold: HeldPoints | None = Field(description="Null where there was nothing to let go.")


class CardRow(CardTransaction):
    """A row of a card's history, with why it is as it is and where it came from."""

    seq: int = Field(description="1, 2, 3 … for each card, without gaps.")
    explanation: dict[str, Any] = Field(
        description="The rule and the inputs that gave it; `counted_at` where it counted as of another time."
    )
    related: int | None = Field(description="The row that it corrects.")
    corrected_by: list[int] = Field(
        description="Rows that correct it: voids, refunds, and what gave back an expiry."
    )
    reason: str | None
    order_reference: str | None
    reward_id: str | None
    reward_description: str | None
    store_id: str | None
    store_name: str | None = Field(description="As it was then.")
    staff_pin_id: str | None
    staff_name: str | None = Field(description="As it was then.")
    terminal_device_id: str | None = Field(description="Null for a person on the web.")
    principal_kind: str | None = Field(
        description="Who stood behind it; of a device, who paired it."
    )
    principal_id: str | None
    category_ids: list[str] | None
    purchase_amount: int | None = Field(description="Minor units of `purchase_currency`.")
    purchase_currency: str | None
    reward_cost: int | None = Field(description="As it was then.")
    points_not_taken: int | None = Field(
        description="What a correction could not take where the program forbids debt."
    )
    ip_address: str | None
    user_agent: str | None
    notes: str | None
    program_version: int


class CardHistory(BaseModel):
    """A page of a card's history, newest first."""

    transactions: list[CardRow]
    next: int | None = Field(description="`before` of the next page; null: this was the last.")


class ExpiryNotice(BaseModel):
    """Points that are about to expire; told once for each card and deadline."""

    id: int
    card: str
    customer_id: str
    program: str
    points: int = Field(description="What would expire, as of `noticed_at`.")
    expires_at: datetime
    noticed_at: datetime


class TierChange(BaseModel):
    """A card's tier became another; told once."""

    id: int
    card: str
    customer_id: str
    program: str
    from_tier: str | None
    to_tier: str | None
    reason: Literal["earned", "taken_back", "period", "terms", "merged"]
    points: int = Field(description="What the card had earned in the period by then.")
    program_version: int
    transaction_id: int | None = Field(description="The row of its history that brought it about.")
    changed_at: datetime


class TierChanges(BaseModel):
    """Changes of tiers, oldest first."""

    changes: list[TierChange]
    next: int = Field(description="`after` of the next request: keep it and ask again later.")


class TierNotice(BaseModel):
    """A tier that is about to fall; told once for each card, tier and end."""

    id: int
    card: str
    customer_id: str
    program: str
    from_tier: str
    to_tier: str | None
    falls_at: datetime
    points: int = Field(description="What the card had earned in the period, as of `noticed_at`.")
    missing: int = Field(description="What it is to earn before `falls_at` to keep its tier.")
    noticed_at: datetime


class TierNotices(BaseModel):
    """Notices, oldest first."""

    notices: list[TierNotice]
    next: int = Field(description="`after` of the next request: keep it and ask again later.")


class ExpiryNotices(BaseModel):
    """Notices, oldest first."""

    notices: list[ExpiryNotice]
    next: int = Field(description="`after` of the next request: keep it and ask again later.")
