"""Sending to the stock program."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker


def put(broker: RedisBroker, *numbers: int, delay: int | None = None) -> None:
    """Send messages for the stock program."""
    for number in numbers:
        message: dramatiq.Message[Any] = dramatiq.Message(
            queue_name="payouts",
            actor_name="payouts.send",
            args=(number,),
            kwargs={},
            options={},
        )
        broker.enqueue(message, delay=delay)
