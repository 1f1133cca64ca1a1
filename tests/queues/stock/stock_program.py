"""A process with Dramatiq's own Redis broker and worker, with default settings.

Writes down what its actor gets and what Dramatiq logs as critical. While `hold` is in its folder, the
actor does not return; while `fail` is there, it raises; the number `deadly` kills the process.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

options: dict[str, Any] = json.loads(sys.argv[1])
folder = Path(options["folder"])
records = os.open(folder / "records", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
# Maintenance is drawn by lot, once in a thousand commands: a fixed seed, so that no test wins it.
random.seed(1)


def record(kind: str, **values: Any) -> None:
    line = {"kind": kind, "pid": os.getpid(), "at": time.time(), **values}
    os.write(records, (json.dumps(line) + "\n").encode())


class Recorder(logging.Handler):
    """Writes log lines down."""

    def emit(self, entry: logging.LogRecord) -> None:
        record("log", text=entry.getMessage())


logging.getLogger().addHandler(Recorder(logging.CRITICAL))
broker = RedisBroker(url=options["url"], **options.get("broker", {}))


@dramatiq.actor(broker=broker, queue_name="payouts", actor_name="payouts.send")
def send(number: int) -> None:
    record("begun", number=number)
    if number == options.get("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (folder / "hold").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    if (folder / "fail").exists():
        raise RuntimeError("told to fail")
    record("done", number=number)


worker = dramatiq.Worker(broker)
worker.start()
record("ready", broker_id=broker.broker_id)
signal.sigwait({signal.SIGTERM})
