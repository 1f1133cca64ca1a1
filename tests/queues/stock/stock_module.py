"""A module for Dramatiq's own command line: one actor that hangs while `hold` is in its folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker

folder = Path(os.environ["STOCK_FOLDER"])
broker = RedisBroker(url=os.environ["STOCK_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor(broker=broker, queue_name="payouts", actor_name="payouts.send")
def send(number: int) -> None:
    (folder / f"begun-{number}").touch()
    deadline = time.monotonic() + 60
    while (folder / "hold").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
