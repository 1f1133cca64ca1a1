"""The events that Payspool understands: types, limits, parsing and the content hash.

`parse_event` reads one; `Event.of(ConversionRecorded(...), ...)` makes one; `EVENT_TYPES` lists
the types. Limits are named constants in `fields` and `parse`.
"""

from payspool_client.errors import InvalidEvent
from payspool_client.events.canonical import canonical_json, canonical_time, content_hash
from payspool_client.events.conversions import (
    ConversionAttributed,
    ConversionDisputed,
    ConversionRecorded,
    ConversionRefunded,
)
from payspool_client.events.event import Event, Identity
from payspool_client.events.fields import EventData, RelatedEvent
from payspool_client.events.loyalty import (
    BalanceEvent,
    CardCreated,
    CardDeactivated,
    CardEvent,
    CardReactivated,
    CustomerAnonymized,
    HoldCaptured,
    HoldReleased,
    PointsAdjusted,
    PointsEarned,
    PointsHeld,
    PointsRedeemed,
    PointsVoided,
    PurchaseRefunded,
    StampAdjusted,
    StampEarned,
    StampRedeemed,
    StampVoided,
)
from payspool_client.events.parse import EVENT_BYTES_MAX, EVENT_TYPES, TIME_AHEAD_MAX, parse_event
from payspool_client.events.payees import PayeeUpdated

__all__ = [
    "EVENT_BYTES_MAX",
    "EVENT_TYPES",
    "TIME_AHEAD_MAX",
    "BalanceEvent",
    "CardCreated",
    "CardDeactivated",
    "CardEvent",
    "CardReactivated",
    "ConversionAttributed",
    "ConversionDisputed",
    "ConversionRecorded",
    "ConversionRefunded",
    "CustomerAnonymized",
    "Event",
    "EventData",
    "HoldCaptured",
    "HoldReleased",
    "Identity",
    "InvalidEvent",
    "PayeeUpdated",
    "PointsAdjusted",
    "PointsEarned",
    "PointsHeld",
    "PointsRedeemed",
    "PointsVoided",
    "PurchaseRefunded",
    "RelatedEvent",
    "StampAdjusted",
    "StampEarned",
    "StampRedeemed",
    "StampVoided",
    "canonical_json",
    "canonical_time",
    "content_hash",
    "parse_event",
]
