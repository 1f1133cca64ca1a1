"""A worker process for tests: writes down what its actors get, and does as files in its folder say.

While `hold` is there, an actor does not return; while `fail` is there, it raises. What it gets that
is named in the option `deadly` kills the process.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import dramatiq

from payspool_client import wire
from queues import Batch, BatchLimits, LivenessSettings, PayspoolBroker, run

options: dict[str, Any] = json.loads(sys.argv[1])
folder = Path(options["folder"])
records = os.open(folder / "records", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
logging.basicConfig(level=options.get("log", "CRITICAL"), stream=sys.stderr)

broker = PayspoolBroker(
    options["url"],
    batches={wire.QUEUE: BatchLimits(**options.get("limits", {}))},
    liveness=LivenessSettings(**options.get("liveness", {})),
)


def record(kind: str, **values: Any) -> None:
    line = {"kind": kind, "pid": os.getpid(), "at": time.time(), **values}
    os.write(records, (json.dumps(line) + "\n").encode())


def work(**values: Any) -> None:
    record("begun", **values)
    if set(options.get("deadly", ())) & {values.get("number"), *values.get("ids", ())}:
        os.kill(os.getpid(), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (folder / "hold").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(options.get("seconds", 0))
    if (folder / "fail").exists():
        raise RuntimeError("told to fail")
    record("done", **values)


@dramatiq.actor(broker=broker, queue_name=wire.QUEUE, actor_name=wire.ACTOR)
def ingest(batch: Batch) -> None:
    work(
        messages=len(batch),
        redelivered=max(item.redelivered for item in batch),
        ids=[json.loads(text)["id"] for item in batch for text in item.texts],
    )


@dramatiq.actor(
    broker=broker, queue_name="payouts", actor_name="payouts.send", max_retries=2, min_backoff=100
)
def send(number: int) -> None:
    work(number=number)


record("ready")
run(
    broker,
    options.get("queues", [wire.QUEUE]),
    threads=options.get("threads", 1),
    shutdown_seconds=options.get("shutdown_seconds", 30),
)
