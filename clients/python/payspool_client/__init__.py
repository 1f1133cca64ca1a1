"""What a producer of Payspool events installs: typed events, and a Publisher.

Build an event from typed data, or send CloudEvents JSON that you already have; both are checked
against the same contract before anything is sent::

    from datetime import UTC, datetime
    from payspool_client import ConversionRecorded, Event, Publisher

    purchase = Event.of(
        ConversionRecorded(code="REF-7K2M9Q", referred_user_id="u-42",
                           transaction_id="ord-1881", amount=12900, currency="eur"),
        merchant="acme", source="shop-eu", id="ord-1881/paid",
        time=datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
    )
    with Publisher("redis://localhost:6379/0") as publisher:
        publisher.publish(purchase)
        publisher.publish_many(json_lines)     # dicts, JSON texts or Events; any number

Amounts are integers in minor units (12900 is 129.00 EUR). (merchant, source, id) names an event
for ever, so publishing the same event again is free; the same id with other content is a conflict.
"""

from payspool_client.backlog import Backlog, BacklogLimit
from payspool_client.emails import email_hash
from payspool_client.errors import (
    BacklogFull,
    InvalidEvent,
    NotDurable,
    PayspoolClientError,
    PublishError,
    QueueRefused,
    QueueUnavailable,
    UndecodableMessage,
)
from payspool_client.events import (
    EVENT_TYPES,
    CardCreated,
    CardDeactivated,
    CardReactivated,
    ConversionAttributed,
    ConversionDisputed,
    ConversionRecorded,
    ConversionRefunded,
    CustomerAnonymized,
    Event,
    EventData,
    Identity,
    PayeeUpdated,
    PointsAdjusted,
    PointsEarned,
    PointsRedeemed,
    PointsVoided,
    PurchaseRefunded,
    RelatedEvent,
    StampAdjusted,
    StampEarned,
    StampRedeemed,
    StampVoided,
    parse_event,
)
from payspool_client.publisher import Publishable, Publisher
from payspool_client.webhooks import BadWebhook
from payspool_client.webhooks import verify as verify_webhook

__all__ = [
    "EVENT_TYPES",
    "Backlog",
    "BacklogFull",
    "BacklogLimit",
    "BadWebhook",
    "CardCreated",
    "CardDeactivated",
    "CardReactivated",
    "ConversionAttributed",
    "ConversionDisputed",
    "ConversionRecorded",
    "ConversionRefunded",
    "CustomerAnonymized",
    "Event",
    "EventData",
    "Identity",
    "InvalidEvent",
    "NotDurable",
    "PayeeUpdated",
    "PayspoolClientError",
    "PointsAdjusted",
    "PointsEarned",
    "PointsRedeemed",
    "PointsVoided",
    "PublishError",
    "Publishable",
    "Publisher",
    "PurchaseRefunded",
    "QueueRefused",
    "QueueUnavailable",
    "RelatedEvent",
    "StampAdjusted",
    "StampEarned",
    "StampRedeemed",
    "StampVoided",
    "UndecodableMessage",
    "email_hash",
    "parse_event",
    "verify_webhook",
]
