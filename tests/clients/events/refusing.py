"""How a text is refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from payspool_client import (
    InvalidEvent,
    parse_event,
)

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def refusal(raw: str | bytes | dict[str, Any], now: datetime | None = None) -> InvalidEvent:
    if isinstance(raw, dict):
        raw = json.dumps(raw)
    with pytest.raises(InvalidEvent) as caught:
        parse_event(raw, now=now)
    assert len(caught.value.content_hash) == 32
    assert len(caught.value.message) <= 500
    return caught.value
