"""Referral conversions: who was referred, what they bought, and what became of the purchase."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from payspool_client.events.fields import (
    Amount,
    Code,
    Currency,
    EmailHash,
    EventData,
    PositiveAmount,
    TransactionId,
    UserId,
    missing,
)

_FULL_ALONE: Final = "must be either full: true, or amount and currency, not both"


class ConversionAttributed(EventData):
    """Remembers who referred whom, and when: the conversion window starts."""

    type: ClassVar[str] = "conversion.attributed"

    code: Code
    referred_user_id: UserId
    referred_email_hash: EmailHash | None = None


class ConversionRecorded(EventData):
    """A referred user converted. Without a code, the remembered attribution counts."""

    type: ClassVar[str] = "conversion.recorded"

    referred_user_id: UserId
    code: Code | None = None
    transaction_id: TransactionId | None = None
    amount: Amount | None = None
    currency: Currency | None = None
    referred_email_hash: EmailHash | None = None


class ConversionRefunded(EventData):
    """A purchase was given back: a part of it (amount and currency), or all of it (`full`)."""

    type: ClassVar[str] = "conversion.refunded"

    # The rule of `_part_or_all`, for the JSON Schema.
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"full": {"const": True}}, "required": ["full"]},
            "then": {"properties": {"amount": {"type": "null"}, "currency": {"type": "null"}}},
            "else": {
                "properties": {"amount": {"type": "integer"}, "currency": {"type": "string"}},
                "required": ["amount", "currency"],
            },
        }
    )

    transaction_id: TransactionId
    refund_id: TransactionId
    amount: PositiveAmount | None = None
    currency: Currency | None = None
    full: bool | None = None

    @model_validator(mode="after")
    def _part_or_all(self) -> ConversionRefunded:
        if self.full:
            if self.amount is not None or self.currency is not None:
                raise PydanticCustomError("ambiguous_refund", _FULL_ALONE)
        elif self.amount is None:
            raise missing("amount", "is needed, with currency; or send full: true")
        elif self.currency is None:
            raise missing("currency", "is needed beside amount; or send full: true")
        return self


class ConversionDisputed(EventData):
    """The purchase is disputed: opened holds what was earned, won releases it, lost reverses it."""

    type: ClassVar[str] = "conversion.disputed"

    transaction_id: TransactionId
    dispute_id: TransactionId
    outcome: Literal["opened", "won", "lost"]
