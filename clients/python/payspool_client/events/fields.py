"""The kinds of fields that events are made of, each limit beside what it bounds.

Strings have at least one character unless said otherwise; lengths count characters (code points).
Nothing is coerced: `"5"` and `5.0` are not integers, and neither is `true`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from payspool_client.currencies import CURRENCIES

#: The largest integer that every JSON reader holds exactly (2^53 - 1, RFC 8259 section 6).
MAX_INTEGER: Final = 2**53 - 1

#: What names something neither begins nor ends with a blank: a code with one behind it, out of a
#: spreadsheet, would be another code. Written out, because engines differ in what they call a blank.
_BLANKS: Final = (
    r"\x09-\x0d\x1c-\x20\x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
)
BLANK_AT_AN_END: Final = rf"^[{_BLANKS}]|[{_BLANKS}]$"
NO_BLANK_AT_THE_ENDS: Final = rf"^[^{_BLANKS}](?:[\s\S]*[^{_BLANKS}])?$"


def _name(longest: int, shortest: int = 1) -> StringConstraints:
    return StringConstraints(min_length=shortest, max_length=longest, pattern=NO_BLANK_AT_THE_ENDS)


#: A person or thing in the producer's system: users, cards, stores, PINs, devices, categories.
USER_ID_MAX: Final = 100
UserId = Annotated[str, _name(USER_ID_MAX)]
#: Purchases, refunds and disputes in the producer's system.
TRANSACTION_ID_MAX: Final = 255
TransactionId = Annotated[str, _name(TRANSACTION_ID_MAX)]
CODE_MIN: Final = 6
CODE_MAX: Final = 20
Code = Annotated[str, _name(CODE_MAX, CODE_MIN)]
PROGRAM_KEY_MAX: Final = 100
ProgramKey = Annotated[str, _name(PROGRAM_KEY_MAX)]
NAME_MAX: Final = 255
Name = Annotated[str, _name(NAME_MAX)]
ORDER_REFERENCE_MAX: Final = 100
OrderReference = Annotated[str, _name(ORDER_REFERENCE_MAX)]
REWARD_ID_MAX: Final = 50
RewardId = Annotated[str, _name(REWARD_ID_MAX)]
REWARD_DESCRIPTION_MAX: Final = 255
RewardDescription = Annotated[str, StringConstraints(max_length=REWARD_DESCRIPTION_MAX)]
#: The longest text form of an IPv6 address.
IP_ADDRESS_MAX: Final = 45
IpAddress = Annotated[str, StringConstraints(min_length=1, max_length=IP_ADDRESS_MAX)]
USER_AGENT_MAX: Final = 500
UserAgent = Annotated[str, StringConstraints(max_length=USER_AGENT_MAX)]
NOTES_MAX: Final = 500
Notes = Annotated[str, StringConstraints(max_length=NOTES_MAX)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=NOTES_MAX)]
CATEGORIES_MAX: Final = 100
CategoryIds = Annotated[list[UserId], Field(max_length=CATEGORIES_MAX)]
PayoutMethod = Literal["stripe", "wise", "manual"]


def _known_currency(code: str) -> str:
    if code not in CURRENCIES:
        raise PydanticCustomError("invalid_currency", NO_CURRENCY)
    return code


NO_CURRENCY: Final = 'must be an ISO 4217 code of three letters, such as "eur"'
#: ISO 4217; taken in any case, kept in lower case.
Currency = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z]{3}$", to_lower=True),
    AfterValidator(_known_currency),
]
#: Minor units of the currency beside it.
Amount = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
PositiveAmount = Annotated[int, Field(gt=0, le=MAX_INTEGER)]
#: Points or stamps.
Count = Annotated[int, Field(gt=0, le=MAX_INTEGER)]


def _not_zero(value: int) -> int:
    if value == 0:
        raise PydanticCustomError("zero", "must not be 0; an adjustment adds or takes something")
    return value


SignedCount = Annotated[
    int,
    Field(ge=-MAX_INTEGER, le=MAX_INTEGER, json_schema_extra={"not": {"const": 0}}),
    AfterValidator(_not_zero),
]

EMAIL_HASH: Final = r"^[0-9a-f]{64}$"
#: What `email_hash` makes of an address. Whoever sends it must have the person's leave to.
EmailHash = Annotated[str, StringConstraints(pattern=EMAIL_HASH)]

#: CloudEvents names an event by source and id.
SOURCE_MAX: Final = 255
EVENT_ID_MAX: Final = 255
MERCHANT_MAX: Final = 100


class _Model(BaseModel):
    # Unknown fields are kept; values stay out of error texts, which are logged and shown.
    model_config = ConfigDict(strict=True, extra="allow", frozen=True, hide_input_in_errors=True)


class EventData(_Model):
    """The base of every event's `data`. `type` is the CloudEvents type that it travels under."""

    type: ClassVar[str]


EventId = Annotated[str, StringConstraints(min_length=1, max_length=EVENT_ID_MAX)]


class RelatedEvent(_Model):
    """Names an earlier event; without a source, one of the same source."""

    source: Annotated[str, StringConstraints(min_length=1, max_length=SOURCE_MAX)] | None = None
    id: EventId


def _as_reference(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


#: Sent as an id, or as an object with id and source.
EventReference = Annotated[
    RelatedEvent, BeforeValidator(_as_reference, json_schema_input_type=EventId | RelatedEvent)
]


def missing(field: str, sentence: str) -> PydanticCustomError:
    """The refusal of data in which a field is needed because of what its other fields say."""
    return PydanticCustomError("missing_field", sentence, {"field": field})


def one_of_them(*fields: str) -> dict[str, Any]:
    """The JSON Schema of data in which at least one of some optional fields is needed."""
    return {
        "anyOf": [
            {"properties": {field: {"not": {"type": "null"}}}, "required": [field]}
            for field in fields
        ]
    }
