"""How long actors took is kept in SQL minute by minute, so that pages can show it whatever process is gone."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
from dramatiq import Broker, MessageProxy, Middleware, Worker
from sqlalchemy import Engine

from domain.charts import duration_store
from domain.charts.duration_store import ActorMinute
from domain.charts.rules import BUCKETS, bucket
from domain.db import transaction
from queues.liveness import Repeater

FLUSH_SECONDS: Final = 15.0
HELD_MAX: Final = 2_000
"""Minutes of actors that wait for a database that is away; beyond them the oldest are dropped: no book is kept."""

log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Tally:
    counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    failed: int = 0
    busy: float = 0.0


class Durations(Middleware):
    """Counts in memory, and adds to SQL what belongs to minutes that are over.

    A flush whose commit was not answered is done again, and then counts twice: these are charts, and no books.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._tallies: dict[tuple[int, str], _Tally] = {}
        self._repeater: Repeater | None = None

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002
        """Dramatiq's hook."""
        self._thread.began = time.monotonic()

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ARG002
        exception: BaseException | None = None,
    ) -> None:
        """Dramatiq's hook. A message belongs to the minute in which it ended."""
        seconds = time.monotonic() - self._thread.began
        self.count(message.actor_name, seconds, ok=exception is None, now=time.time())

    def count(self, actor: str, seconds: float, *, ok: bool, now: float) -> None:
        """Count one message that ended at ``now`` (Unix seconds)."""
        with self._lock:
            tally = self._tallies.setdefault((int(now // 60), actor), _Tally())
            tally.counts[bucket(seconds)] += 1
            tally.failed += not ok
            tally.busy += seconds

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        """Dramatiq's hook."""
        turn = partial(self._flush_or_wait, all_of_it=False)
        self._repeater = Repeater("payspool durations", FLUSH_SECONDS, turn)
        self._repeater.start()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        """Dramatiq's hook: what this minute had is added too."""
        if self._repeater is not None:
            self._repeater.stop()
        self._flush_or_wait(all_of_it=True)

    def _flush_or_wait(self, *, all_of_it: bool) -> None:
        try:
            self.flush(None if all_of_it else time.time())
        except Exception as error:
            # The pages' numbers wait; a worker never fails for them.
            log.warning("durations.unwritten", error=str(error)[:200])

    def flush(self, now: float | None) -> int:
        """Add the minutes that are over at ``now`` (None: all); returns how many. Keeps them if it fails."""
        with self._lock:
            over = {
                key: tally
                for key, tally in self._tallies.items()
                if now is None or key[0] < int(now // 60)
            }
            for key in over:
                del self._tallies[key]
        if not over:
            return 0
        rows = [
            ActorMinute(
                actor,
                datetime.fromtimestamp(minute * 60, UTC),
                tally.counts,
                tally.failed,
                round(tally.busy * 1000),
            )
            for (minute, actor), tally in over.items()
        ]
        try:
            with transaction(self._engine) as tx:
                duration_store.add(tx, rows)
        except BaseException:
            with self._lock:
                self._tallies = dict(sorted((over | self._tallies).items())[-HELD_MAX:])
            raise
        return len(rows)
