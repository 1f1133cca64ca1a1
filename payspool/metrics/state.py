"""The state of queues and rows, read from Valkey and PostgreSQL at a scrape, within a bounded time."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from domain import clock
from domain.db import Tx, transaction
from domain.dead_letters import store as dead_letters
from domain.inbox import store as inbox
from domain.loyalty.store import velocity
from domain.outbox import store as outbox
from domain.payouts.store import standing as payouts
from domain.schedules import store as schedules
from domain.webhooks import delivery_store as webhooks
from payspool.metrics import families
from payspool.metrics.reading import BoundedReading
from queues import keys
from queues.connection import connect
from queues.inspect import QueueState, inspect
from queues.liveness import LivenessSettings
from queues.pause import Pauses

log = structlog.get_logger(__name__)

READ_SECONDS: Final = 2.5
"""Longest time that a scrape waits for its servers, side by side."""
STATEMENT_MS: Final = 1_000
"""Longest statement of a scrape; a part that takes longer is left out and told as unknown."""
CACHE_SECONDS: Final = 1.0
"""Scrapes within so long of another share what it read."""
COUNTED_AT_MOST: Final = 100_000
"""Rows that one figure counts at most: so much and no more is read of any index."""
QUEUES_SHOWN_MAX: Final = 20
INVARIANTS: Final = "invariants.check"
"""The schedule whose fires check the invariants."""

Part = Callable[[Tx], Any]


@dataclass(frozen=True, slots=True)
class ValkeyState:
    """What Valkey told. Bytes; ``memory_max`` is 0 without a limit."""

    queues: Sequence[QueueState]
    paused: Collection[str]
    workers: int
    memory_used: int
    memory_max: int


@dataclass(frozen=True, slots=True)
class State:
    """What a scrape found; None for a server that did not answer.

    ``rows`` has what each part read, and None for one that took too long.
    """

    valkey: ValkeyState | None
    rows: dict[str, Any] | None


class StateCollector(Collector):
    """Collects the state. Any number of scrapes may ask at once: they share one reading."""

    def __init__(
        self, engine: Engine, redis_url: str, namespace: str, queues: Sequence[str]
    ) -> None:
        self._engine = engine
        self._namespace = namespace
        self._queues = queues
        self._client = connect(redis_url, connect_timeout=1.0, read_timeout=1.0)
        self._valkey = BoundedReading("valkey", self._read_valkey)
        self._rows = BoundedReading("postgresql", self._read_rows)
        self._lock = threading.Lock()
        self._cached: tuple[float, State] | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering it reads no server."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Families of the state, new or at most CACHE_SECONDS old."""
        return families.of_state(self.state())

    def state(self) -> State:
        """The state, read within READ_SECONDS."""
        with self._lock:
            if self._cached is None or time.monotonic() - self._cached[0] > CACHE_SECONDS:
                deadline = time.monotonic() + READ_SECONDS
                self._valkey.begin()
                self._rows.begin()
                state = State(self._valkey.end(deadline), self._rows.end(deadline))
                self._cached = time.monotonic(), state
            return self._cached[1]

    def _read_valkey(self) -> ValkeyState:
        client, timeout = self._client, LivenessSettings().timeout
        found: set[Any] = client.smembers(keys.queues(self._namespace))
        known = {name.decode() for name in found}
        paused = Pauses(client, self._namespace).all()
        names = sorted({*known, *paused, *self._queues})[:QUEUES_SHOWN_MAX]
        seconds, microseconds = client.time()
        heard = (seconds - timeout) * 1000 + microseconds // 1000
        memory = client.info("memory")
        return ValkeyState(
            inspect(client, self._namespace, names),
            paused.keys(),
            client.zcount(keys.heartbeats(self._namespace), heard, "+inf"),
            memory["used_memory"],
            memory["maxmemory"],
        )

    def _read_rows(self) -> dict[str, Any]:
        return {name: self._read_part(name, part) for name, part in _PARTS.items()}

    def _read_part(self, name: str, part: Part) -> Any:
        """A part in a transaction of its own: one that takes too long costs the others nothing.

        Raises what a lost connection raises.
        """
        try:
            with transaction(self._engine) as tx:
                tx.execute(text("SET TRANSACTION READ ONLY"))
                tx.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_MS}"))
                return part(tx)
        except DBAPIError as error:
            if error.connection_invalidated or getattr(error.orig, "sqlstate", None) is None:
                raise
            log.warning("metrics.part_unread", part=name, error=str(error.orig).splitlines()[:1])
            return None


_PARTS: Final[dict[str, Part]] = {
    "inbox": lambda tx: inbox.attention_counts(tx, COUNTED_AT_MOST),
    "dead_letters": lambda tx: dead_letters.open_counts(tx, COUNTED_AT_MOST),
    "outbox": lambda tx: outbox.pending(tx, COUNTED_AT_MOST),
    "payouts": lambda tx: payouts.unsettled(tx, COUNTED_AT_MOST),
    "attempts": lambda tx: payouts.open_attempts(tx, COUNTED_AT_MOST),
    "differences": lambda tx: payouts.open_differences(tx, COUNTED_AT_MOST),
    "stops": lambda tx: payouts.stops(tx, COUNTED_AT_MOST),
    "reversals": lambda tx: payouts.open_reversals(tx, COUNTED_AT_MOST),
    "velocity": lambda tx: velocity.open_counts(tx, COUNTED_AT_MOST),
    "webhooks": lambda tx: webhooks.standing(tx, COUNTED_AT_MOST),
    "sweeps": lambda tx: schedules.lags(tx, clock.business_now(tx)),
    "invariants": lambda tx: schedules.last_done(tx, INVARIANTS) or (),
}
"""What is read of PostgreSQL, each part by itself."""
