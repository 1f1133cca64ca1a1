"""The event itself: its identity, when it happened, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from payspool_client.events.canonical import canonical_time
from payspool_client.events.fields import EventData


class Identity(NamedTuple):
    """What names an event for ever: nothing else with this key is a new event."""

    merchant: str
    source: str
    id: str


@dataclass(frozen=True, slots=True)
class Event:
    """A valid event, as made by `parse_event` or `Event.of`.

    Attributes:
        merchant, source, id: Its identity.
        type: For instance ``conversion.recorded``.
        time: When it happened, in UTC, to the microsecond.
        data: The typed fields, for instance a `ConversionRecorded`.
        payload: `data` as it was sent, unknown fields included.
        content_hash: 32 bytes; equal for events that say the same.
    """

    merchant: str
    source: str
    id: str
    type: str
    time: datetime
    data: EventData
    payload: Mapping[str, Any]
    content_hash: bytes

    @classmethod
    def of(
        cls,
        data: EventData,
        *,
        merchant: str,
        source: str,
        id: str,
        time: datetime,
    ) -> Event:
        """Make an event from typed data.

        >>> from payspool_client import ConversionDisputed, Event
        >>> Event.of(
        ...     ConversionDisputed(transaction_id="ord-1", dispute_id="d-1", outcome="opened"),
        ...     merchant="acme", source="shop-eu", id="d-1/opened",
        ...     time=datetime(2026, 11, 20, tzinfo=UTC),
        ... ).type
        'conversion.disputed'

        Raises:
            ValueError: `time` has no offset.
            InvalidEvent: Anything else that a receiver would refuse.
        """
        from payspool_client.events.parse import parse_event  # it builds Events

        if time.tzinfo is None:
            raise ValueError("time needs an offset: pass an aware datetime, such as now(UTC).")
        payload = data.model_dump(mode="json", exclude_unset=True)
        return parse_event(_to_json(Identity(merchant, source, id), data.type, time, payload))

    @property
    def identity(self) -> Identity:
        """(merchant, source, id)."""
        return Identity(self.merchant, self.source, self.id)

    def to_json(self) -> str:
        """The event as a CloudEvents JSON text; parsing it gives an equal event."""
        return _to_json(self.identity, self.type, self.time, self.payload)


def _to_json(identity: Identity, event_type: str, time: datetime, data: Mapping[str, Any]) -> str:
    envelope = {
        "specversion": "1.0",
        "id": identity.id,
        "source": identity.source,
        "merchant": identity.merchant,
        "type": event_type,
        "time": canonical_time(time.astimezone(UTC)),
        "data": data,
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
