"""What the operations on webhook endpoints and their log take and answer, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from domain.webhooks.addresses import MAX_URL
from domain.webhooks.rules import MAX_ROLL_HOURS, TYPES
from domain.webhooks.service import MAX_DESCRIPTION, MAX_REASON
from web.api.runs_schemas import of_this_century

TYPES_MAX: Final = 50

State = Literal["pending", "delivered", "failed", "canceled"]
Types = Annotated[
    list[str],
    Field(
        min_length=1,
        max_length=TYPES_MAX,
        description=f"What it is told of: `*` for everything, or {', '.join(f'`{one}`' for one in TYPES)}.",
    ),
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AddRequest(_Asked):
    """An endpoint to be added."""

    url: str = Field(min_length=1, max_length=MAX_URL, description="https, and public.")
    types: Types = Field(default=["*"])
    description: str = Field(default="", max_length=MAX_DESCRIPTION)


class ChangeRequest(_Asked):
    """What is to be changed; absent: it stays."""

    types: Types | None = None
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)


class RollRequest(_Asked):
    """How long the old secret signs beside the new one."""

    overlap_hours: int = Field(default=24, ge=0, le=MAX_ROLL_HOURS)


class DisableRequest(_Asked):
    """Why nothing more is sent to it."""

    reason: str = Field(min_length=1, max_length=MAX_REASON, pattern=r"^[^\x00]*\S[^\x00]*$")


class ResendRequest(_Asked):
    """Which failed deliveries are sent again."""

    failed_since: Annotated[AwareDatetime, AfterValidator(of_this_century)] = Field(
        description="When the events happened, or later."
    )


class WebhookEndpoint(BaseModel):
    """Where a merchant's system is told of what happens."""

    id: int
    url: str
    description: str
    types: list[str]
    state: Literal["enabled", "disabled"]
    pending: int = Field(description="Deliveries on their way, counted up to 10,000.")
    failed: int = Field(description="Deliveries that were given up, counted up to 10,000.")
    failures: int = Field(description="Attempts that failed in a row.")
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_by: str | None
    disabled_reason: str | None
    old_secret_until: datetime | None = Field(description="Until when the old secret signs too.")
    created_at: datetime


class WebhookEndpoints(BaseModel):
    """The endpoints of the key's merchant."""

    endpoints: list[WebhookEndpoint]


class WebhookSecret(BaseModel):
    """An endpoint with its new secret, which is not shown again."""

    endpoint: WebhookEndpoint
    secret: str


class WebhookEndpointRemoved(BaseModel):
    """An endpoint that was removed."""

    id: int
    canceled: int = Field(description="Deliveries that were on their way to it.")


class WebhookDelivery(BaseModel):
    """One event on its way to one endpoint."""

    id: int
    endpoint: int
    event: str = Field(description="The event's id: `webhook-id` of each attempt.")
    type: str
    state: State
    tries: int = Field(description="Attempts since it was last asked for.")
    status: int | None = Field(description="What the last attempt was answered.")
    failure: str | None = Field(description="Why the last attempt failed.")
    next_at: datetime | None = Field(description="When it is tried again.")
    happened_at: datetime
    settled_at: datetime | None


class WebhookDeliveries(BaseModel):
    """A page of the log, newest first."""

    deliveries: list[WebhookDelivery]
    next: int | None = Field(description="`before` of the next page; null: there is none.")


class WebhookAttempt(BaseModel):
    """One request to an endpoint."""

    at: datetime
    outcome: Literal["delivered", "refused", "unreached"]
    status: int | None
    milliseconds: int
    failure: str | None
    response: str | None = Field(description="The first 500 characters of the answer.")


class WebhookDeliveryShown(BaseModel):
    """A delivery with the event as it is sent, and each attempt: the newest hundred."""

    delivery: WebhookDelivery
    body: dict[str, Any]
    attempts: list[WebhookAttempt]


class WebhooksResent(BaseModel):
    """Failed deliveries that are sent again."""

    deliveries: int = Field(description="How many; at 10,000 ask again for the others.")
