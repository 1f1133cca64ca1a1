"""What the API answers, as models and examples: the source of `/openapi.json`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel


class ErrorObject(BaseModel):
    """What went wrong."""

    code: str = Field(description="A stable code for programs.")
    message: str = Field(description="A sentence for people that says what to do.")
    field: str | None = Field(
        None, description="What in the request is at fault. Absent if it is not one thing."
    )
    request_id: str = Field(description="The request's `X-Request-Id`, by which the log knows it.")


class ErrorBody(BaseModel):
    """Every answer that is an error."""

    error: ErrorObject


class EventResult(BaseModel):
    """What became of one event of the request."""

    index: int = Field(description="Its place in the request, from 0; blank lines do not count.")
    source: str | None = Field(description="Null if the event could not be read so far.")
    id: str | None
    status: Literal["queued", "refused"]
    reason: str | None = Field(description="Why it was refused: a stable code.")
    field: str | None = Field(description="The field at fault, as `data.amount`.")
    message: str | None


class PublishResult(BaseModel):
    """What became of all of them."""

    accepted: int
    rejected: int
    results: list[EventResult]


class RefusedBody(PublishResult):
    """The answer where every event was refused."""

    error: ErrorObject


class EventStatus(BaseModel):
    """What became of an event that was taken from the queue."""

    model_config = ConfigDict(from_attributes=True)

    source: str
    id: str
    type: str | None
    status: str = Field(
        description="applied, rejected, waiting (for its predecessor) or dead (a bug stopped it)."
    )
    reason: str | None
    detail: str | None
    occurred_at: datetime | None = Field(description="`time` of the event.")
    received_at: datetime = Field(description="When it was first taken, in business time.")
    attempts: int = Field(
        description="How often it was tried; replays of what was applied do not count."
    )
    conflicts: int = Field(
        description="How many other contents came under the same (source, id). The first stands."
    )
    made: dict[str, list[dict[str, Any]]] = Field(
        description="The rows that it made, by table: trackings, reversals, holds, loyalty_transactions, velocity_cases, point_holds, earnings. Amounts are in minor units."
    )


class ListedEvent(BaseModel):
    """An event of a list."""

    source: str
    id: str
    type: str | None
    status: Literal["rejected", "waiting", "dead"]
    reason: str | None
    detail: str | None
    occurred_at: datetime | None
    received_at: datetime
    attempts: int


class EventPage(BaseModel):
    """Events of one state, newest first."""

    events: list[ListedEvent]
    next: int | None = Field(description="`after` of the next page; null where there is none.")


class EventStatusOrPage(RootModel[EventStatus | EventPage]):
    """An event if it was asked for by name, else a page."""


class AppliedEvent(BaseModel):
    """An event that was applied at once."""

    source: str
    id: str
    type: str
    status: Literal["applied"]


class CardTransaction(BaseModel):
    """One row of a card's history. Points and stamps are signed; the balances are the card's after it."""

    id: int
    type: str
    points: int
    balance: int
    stamps: int
    stamps_balance: int
    at: datetime = Field(description="When it happened.")


class CardReply(BaseModel):
    """What an event did to a card. A repeated request gets the same."""

    event: AppliedEvent
    card: str
    transactions: list[CardTransaction]
    balance: int = Field(description="Points on the card after it, pending ones included.")
    stamps_balance: int = Field(description="Stamps on the card after it.")


class WaitingEvent(BaseModel):
    """An event that is kept until the one that it names has come."""

    source: str
    id: str
    type: str
    status: Literal["waiting"]
    reason: str


class WaitingReply(BaseModel):
    """Nothing was done yet; what it corrects brings it about when it comes."""

    event: WaitingEvent


class RefusedEvent(BaseModel):
    """An event that was refused, and is kept as that."""

    source: str
    id: str
    type: str
    status: Literal["rejected", "conflict", "unreadable"]


class CardRefusal(ErrorBody):
    """Why nothing was done. Without `event` the event broke the contract and was not kept."""

    event: RefusedEvent | None = None


class DeadlinePoints(BaseModel):
    """Points that expire together if nothing happens until then."""

    at: datetime | None = Field(description="From then on they are gone; null: never.")
    points: int


class Points(BaseModel):
    """Points of a card now. What has expired is not in them, whether or not that is booked yet."""

    balance: int = Field(description="All that has not expired, less the debt.")
    spendable: int
    pending: int = Field(description="Earned, and not spendable yet.")
    held: int = Field(description="Reserved for a redemption.")
    debt: int = Field(description="Taken back after they were spent; later credits pay it first.")
    next_expiry: datetime | None = Field(
        description="When some of them expire if nothing happens until then."
    )
    by_deadline: list[DeadlinePoints] = Field(
        description="What expires when, soonest first; with what is held it sums to balance + debt."
    )


class CardTier(BaseModel):
    """The tier of a card now, whether or not a fall is booked yet."""

    key: str | None = Field(description="Null: none is reached.")
    points: int = Field(description="Earned in the program's period.")
    until: datetime | None = Field(
        description="When it falls if nothing more is earned; null: never."
    )


class Card(BaseModel):
    """A card as it is now."""

    card: str
    customer_id: str
    program: str
    status: Literal["active", "inactive"]
    merged: list[str] = Field(description="Numbers of cards that were merged into it.")
    points: Points
    stamps: int
    tier: CardTier | None = Field(description="Null where no tier was ever counted.")
    last_activity_at: datetime
    created_at: datetime


class CurrencyEarnings(BaseModel):
    """Earnings in one currency, in minor units; each earning is in one of the parts."""

    currency: str
    earnings: int = Field(description="How many there are.")
    owed: int = Field(
        description="due + pending + held; below 0 where more was taken back than earned since."
    )
    due: int = Field(description="May be paid with the next run.")
    pending: int = Field(description="Its hold is not over yet.")
    held: int = Field(description="Waits for a person.")
    voided: int
    in_payouts: dict[str, int] = Field(
        description="By the payout's state: approved, sending, unknown, paid, failed, …"
    )


class UserEarnings(BaseModel):
    """What a user earned, and where that stands."""

    user_id: str
    as_of: datetime = Field(description="Business time of this answer.")
    currencies: list[CurrencyEarnings]


class PayeeRow(BaseModel):
    """How a user is paid, and what they are owed. No account and no bank data is shown."""

    user_id: str
    method: Literal["stripe", "wise", "manual"]
    ready: bool = Field(description="Whether a payout could be sent now.")
    reason: Literal["payee_not_ready", "blocked"] | None = Field(description="Why it is not ready.")
    message: str | None
    owed: dict[str, int] = Field(
        description="What is in no payout yet, by currency, in minor units; may be negative."
    )


class LastExclusion(BaseModel):
    """The newest run that did not pay a user, and why."""

    run_id: int
    currency: str
    amount: int = Field(description="What would have been paid, in minor units.")
    reason: str
    detail: str
    created_at: datetime


class Payee(PayeeRow):
    """A payee, and why the last run that left them out did so."""

    last_exclusion: LastExclusion | None


class Payees(BaseModel):
    """Payees, by user."""

    payees: list[PayeeRow]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class WebhookReceipt(BaseModel):
    """A webhook event that is stored."""

    received: Literal[True]
    duplicate: bool = Field(description="Whether it was stored before.")


class Alive(BaseModel):
    """The process serves requests."""

    status: Literal["alive"]


class Dependency(BaseModel):
    """One thing that the API needs."""

    status: Literal["ok", "failed"]
    detail: str | None = Field(description="What is wrong, and what to do.")
    milliseconds: float = Field(description="How long the check took.")


class Readiness(BaseModel):
    """Whether requests can be served."""

    status: Literal["ready", "not_ready"]
    dependencies: dict[str, Dependency]
    warnings: list[str] = Field(
        description="What is wrong, but keeps no request from being served."
    )


class NotReady(Readiness):
    """The answer while a dependency fails."""

    error: ErrorObject


EVENT: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "ord-1881/paid",
    "source": "shop-eu",
    "merchant": "acme",
    "type": "conversion.recorded",
    "time": "2026-11-20T09:30:00Z",
    "data": {
        "code": "REF-7K2M9Q",
        "referred_user_id": "u-42",
        "transaction_id": "ord-1881",
        "amount": 12900,
        "currency": "eur",
    },
}
PAYEE: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "payee-7/1",
    "source": "shop-eu",
    "merchant": "acme",
    "type": "payee.updated",
    "time": "2026-11-20T09:31:00Z",
    "data": {"user_id": "u-7", "method": "stripe", "account": "acct_1Payee"},
}

EVENT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A CloudEvents 1.0 event, at most 64 KiB. (merchant, source, id) names it for ever.",
    "required": ["specversion", "id", "source", "merchant", "type", "time", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 255},
        "source": {"type": "string", "minLength": 1, "maxLength": 255},
        "merchant": {"type": "string", "minLength": 1, "maxLength": 100},
        "type": {"type": "string", "description": "For instance conversion.recorded."},
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "When it happened, with an offset.",
        },
        "data": {"type": "object", "description": "By type. Amounts are integers in minor units."},
    },
}

QUEUED: Final[dict[str, Any]] = {
    "index": 0,
    "source": "shop-eu",
    "id": "ord-1881/paid",
    "status": "queued",
    "reason": None,
    "field": None,
    "message": None,
}
REFUSED: Final[dict[str, Any]] = {
    "index": 1,
    "source": "shop-eu",
    "id": "ord-1882/paid",
    "status": "refused",
    "reason": "negative_amount",
    "field": "data.amount",
    "message": "data.amount must not be negative; send a refund or an adjustment instead.",
}
STATUS: Final[dict[str, Any]] = {
    "source": "shop-eu",
    "id": "ord-1881/paid",
    "type": "conversion.recorded",
    "status": "applied",
    "reason": None,
    "detail": None,
    "occurred_at": "2026-11-20T09:30:00Z",
    "received_at": "2026-11-20T09:30:02.118Z",
    "attempts": 1,
    "conflicts": 0,
    "made": {
        "trackings": [
            {
                "id": 17,
                "referrer_user_id": "u-7",
                "amount_earned": 1290,
                "currency": "eur",
                "explanation": {"rate_bp": 1000},
            }
        ]
    },
}
